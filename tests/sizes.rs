//! Every size of SAM assembles: encoder, prompt encoder and decoder fit one another, and hold as
//! many numbers as they should.

use desam::candle::{DType, Device, Tensor};
use desam::decoder::DecoderConfig;
use desam::encoder::{PromptEncoderConfig, VitConfig};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::types::{EncoderSpec, ImageFeatures, MaskDecoder, PromptEmbedding};

/// SAM's own mask decoder holds 4 058 340 parameters and its prompt encoder 6 220, in every size
/// (segment-anything: 93 735 472 in all for ViT-B, of which 89 670 912 are the image encoder's).
const SAM_DECODER: usize = 4_058_340;
const SAM_PROMPT: usize = 6_220;
const SAM_B_ENCODER: usize = 89_670_912;
/// The positional matrix, 2 × 128: a buffer in SAM, not counted among its parameters.
const POSITION: usize = 256;

/// Numbers of an SE residual block, counted from its description: two 3×3 and one 1×1 convolution,
/// and two linears through a sixteenth of the channels; no biases.
fn block(inputs: usize, outputs: usize) -> usize {
    9 * inputs * outputs
        + 9 * outputs * outputs
        + inputs * outputs
        + 2 * outputs * (outputs / 16).max(1)
}

/// Numbers of PIMM: context blocks, fusion, steps up with their heads.
fn pimm(taps: &[usize], e: usize) -> usize {
    let context = |(depth, tap): (usize, &usize)| {
        let c = e >> depth;
        block(*tap, c) + depth * (4 * c * c + block(c, c))
    };
    let step = |i: usize| {
        let (from, to) = (e >> i, e >> (i + 1));
        4 * from * to + block(2 * to, to) + to
    };
    let context: usize = taps.iter().rev().enumerate().map(context).sum();
    context + block(2 * e, e) + (0..taps.len() - 1).map(step).sum::<usize>()
}

fn count(tensors: &Tensors) -> usize {
    tensors.values().map(Tensor::elem_count).sum()
}

/// A decoder of zeros: what a checkpoint without a single parameter is reported to lack.
fn numbers_of(config: &DecoderConfig) -> usize {
    let loaded = load(Tensors::new(), &LoadOptions::frozen(), |vb| config.build(vb)).unwrap();
    assert_eq!(loaded.report.missing.len(), loaded.tensors.len());
    count(&loaded.tensors)
}

#[test]
fn every_size_assembles_with_the_numbers_it_should_have() {
    // The encoders' in millions, as published. The decoders' by hand: ViT-B's PIMM adds up to
    // 7 463 104, and 256 tap channels more cost 10 · 256 · (256 + 128 + 64) = 1 146 880.
    for (name, encoder_millions, decoder_numbers) in
        [("vit-b", 90, 11_521_444), ("vit-l", 308, 12_668_324), ("vit-h", 637, 13_815_204)]
    {
        let vit = VitConfig::preset(name).unwrap();
        let spec = vit.spec();
        assert_eq!((spec.grid(), spec.mask_side(), spec.tap_channels.len()), (64, 256, 3));
        let encoder = vit.parameter_count().unwrap();
        assert_eq!((encoder + 500_000) / 1_000_000, encoder_millions, "{name}: {encoder}");

        let prompt = PromptEncoderConfig::for_encoder(&spec);
        assert_eq!(prompt.mask_side(), spec.mask_side());
        let prompt = load(Tensors::new(), &LoadOptions::frozen(), |vb| prompt.build(vb)).unwrap();
        assert_eq!(count(&prompt.tensors), SAM_PROMPT + POSITION, "{name}");

        let config = DecoderConfig::sam(&spec);
        config.validate().unwrap();
        let decoder = numbers_of(&config);
        assert_eq!(decoder, decoder_numbers, "{name}");
        assert_eq!(decoder, SAM_DECODER + pimm(&spec.tap_channels, 256), "{name}");
    }
    assert_eq!(VitConfig::vit_b().parameter_count().unwrap(), SAM_B_ENCODER);
}

fn wave(shape: &[usize], phase: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let t = Tensor::arange(0u32, n as u32, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    t.affine(0.37, phase).unwrap().sin().unwrap().reshape(shape).unwrap()
}

#[test]
fn decoders_of_every_width_draw_masks_on_a_small_grid() {
    for vit in [VitConfig::vit_b(), VitConfig::vit_l(), VitConfig::vit_h()] {
        let spec = EncoderSpec { input_side: 64, ..vit.spec() };
        let (g, m) = (spec.grid(), spec.mask_side());
        assert_eq!((g, m), (4, 16));
        let config = DecoderConfig::sam(&spec);
        let decoder = load(Tensors::new(), &LoadOptions::seeded(1), |vb| config.build(vb)).unwrap();
        let taps = spec.tap_channels.iter().map(|&c| wave(&[1, c, g, g], 1.0)).collect();
        let features = ImageFeatures { taps, embedding: wave(&[1, 256, g, g], 2.0) };
        let prompts =
            PromptEmbedding { sparse: wave(&[3, 2, 256], 3.0), dense: wave(&[3, 256, g, g], 4.0) };
        let position = wave(&[1, 256, g, g], 5.0);
        let out = decoder.module.decode(&features, &position, &prompts).unwrap();
        assert_eq!((out.logits.dims(), out.iou.dims()), (&[3, 1, m, m][..], &[3, 1][..]));
        let logits: Vec<f32> = out.logits.flatten_all().unwrap().to_vec1().unwrap();
        assert!(logits.iter().all(|v| v.is_finite()));
        // Different prompts, different masks.
        assert_ne!(logits[..m * m], logits[m * m..2 * m * m]);
    }
}
