//! The readers compared with PRIM's reference path in f64.

use crate::{Decoder, DecoderConfig, Prim, Variant};
#[cfg(feature = "emulation")]
use candle_core::Result;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use desam_core::{EncoderSpec, ImageContext, MaskDecoder, PromptEmbedding, PromptOutput};
use desam_nn::params::{LoadOptions, Loaded, Tensors, load};

/// Smooth values between −1 and 1.
fn wave(shape: &[usize], phase: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| (i as f64 * 0.7371 + phase).sin() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

struct Model {
    config: DecoderConfig,
    loaded: Loaded<Decoder>,
    context: ImageContext,
    grid: usize,
}

impl Model {
    fn random(seed: u64, grid: usize, depth: usize) -> Self {
        let spec = EncoderSpec {
            input_side: 16 * grid,
            patch: 16,
            tap_channels: vec![8; 3],
            embedding_channels: 64,
        };
        let config = DecoderConfig { transformer_depth: depth, ..DecoderConfig::tiny(&spec) };
        let build = |vb: VarBuilder<'_>| config.build(vb);
        let loaded = load(Tensors::new(), &LoadOptions::seeded(seed), build).unwrap();
        let phase = seed as f64;
        let context = ImageContext {
            embedding: wave(&[1, 64, grid, grid], phase),
            position: wave(&[1, 64, grid, grid], phase + 1.0),
            levels: Vec::new(),
        };
        Self { config, loaded, context, grid }
    }

    /// Points: the same dense embedding for all, not copied.
    fn prompts(&self, n: usize) -> PromptEmbedding {
        let dense = wave(&[1, 64, 1, 1], 3.0);
        let dense = dense.broadcast_as((n, 64, self.grid, self.grid)).unwrap();
        PromptEmbedding { sparse: wave(&[n, 2, 64], 2.0), dense }
    }

    /// The reference: PRIM in f64, one module after the other.
    fn plain(&self, prompts: &PromptEmbedding) -> PromptOutput {
        let double = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
        let all = self.loaded.tensors.iter().map(|(k, t)| (k.clone(), double(t))).collect();
        let vb = VarBuilder::from_tensors(all, DType::F64, &Device::Cpu);
        let prim = Prim::new(&self.config, vb.pp("mask_decoder")).unwrap();
        let ImageContext { embedding, position, .. } = &self.context;
        let (embedding, position) = (double(embedding), double(position));
        let context = ImageContext { embedding, position, levels: Vec::new() };
        let dense = double(&prompts.dense.contiguous().unwrap());
        let prompts = PromptEmbedding { sparse: double(&prompts.sparse), dense };
        prim.encode_prompts(&context, &prompts).unwrap()
    }
}

fn parts(reading: &PromptOutput) -> [&Tensor; 3] {
    [&reading.iou_all, &reading.mask_tokens, &reading.mask_embedding]
}

/// Largest difference, as a share of the largest number.
fn distance(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let double = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
    let largest = |t: Tensor| -> f64 {
        t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    };
    let (found, expected) = (double(found), double(expected));
    largest((found - &expected).unwrap()) / largest(expected)
}

#[test]
fn the_reader_on_a_cpu_computes_what_prim_does() {
    for (seed, n, grid, depth) in
        [(1, 1, 16, 2), (2, 8, 4, 2), (3, 11, 5, 2), (4, 3, 17, 1), (5, 5, 6, 3), (6, 25, 16, 2)]
    {
        let model = Model::random(seed, grid, depth);
        let prompts = model.prompts(n);
        let expected = model.plain(&prompts);
        let mut reader = model.loaded.module.reader(&model.context).unwrap();
        let found = reader.encode_prompts(&prompts).unwrap();
        for (found, expected) in parts(&found).into_iter().zip(parts(&expected)) {
            let error = distance(found, expected);
            // The limit of reassociation in f32: of the largest number, against f64.
            assert!(error < 2e-5, "{seed}: {error:.1e}");
        }
        let iou = reader.predict_ious(&prompts).unwrap();
        assert_eq!(distance(&iou, &found.iou_all), 0.0);
    }
}

#[test]
fn the_reader_on_a_cpu_is_batch_invariant_for_any_number_of_threads() {
    let model = Model::random(7, 16, 2);
    let all = model.prompts(21);
    let read = |threads, [from, len]: [usize; 2]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let narrow = |t: &Tensor| t.narrow(0, from, len).unwrap();
        let prompts = PromptEmbedding { sparse: narrow(&all.sparse), dense: narrow(&all.dense) };
        pool.install(|| {
            model.loaded.module.reader(&model.context).unwrap().encode_prompts(&prompts).unwrap()
        })
    };
    assert!(model.loaded.module.reader(&model.context).unwrap().batch_invariant());
    let whole = read(1, [0, 21]);
    for (threads, part) in [(2, [0, 21]), (7, [0, 21]), (1, [0, 1]), (2, [20, 1]), (3, [5, 11])] {
        let found = read(threads, part);
        for (found, whole) in parts(&found).into_iter().zip(parts(&whole)) {
            let whole = whole.narrow(0, part[0], part[1]).unwrap();
            assert_eq!(distance(found, &whole), 0.0, "{threads} threads, {part:?}");
        }
    }
}

#[test]
fn sams_own_decoder_has_the_same_reader() {
    let model = Model::random(10, 8, 2);
    let sam = DecoderConfig { variant: Variant::SamDecoder, ..model.config.clone() };
    let built = load(Tensors::new(), &LoadOptions::seeded(10), |vb| sam.build(vb)).unwrap().module;
    let prompts = model.prompts(3);
    let plain = built.encode_prompts(&model.context, &prompts).unwrap();
    let found = built.reader(&model.context).unwrap().encode_prompts(&prompts).unwrap();
    for (found, plain) in parts(&found).into_iter().zip(parts(&plain)) {
        // Two f32 against each other.
        let error = distance(found, plain);
        assert!(error > 0.0 && error < 4e-5, "{error:.1e}");
    }
}

#[test]
fn prompts_with_masks_and_boxes_are_encoded() {
    let model = Model::random(8, 6, 2);
    // Different dense embeddings, among them the one of a prompt without a mask.
    let own =
        Tensor::cat(&[wave(&[2, 64, 6, 6], 5.0), model.prompts(1).dense.contiguous().unwrap()], 0)
            .unwrap();
    let none = wave(&[3, 2, 64], 2.0).narrow(1, 0, 0).unwrap();
    for sparse in [wave(&[3, 2, 64], 2.0), wave(&[3, 5, 64], 4.0), none] {
        let prompts = PromptEmbedding { sparse, dense: own.clone() };
        let expected = model.plain(&prompts);
        let found =
            model.loaded.module.reader(&model.context).unwrap().encode_prompts(&prompts).unwrap();
        for (found, expected) in parts(&found).into_iter().zip(parts(&expected)) {
            assert!(distance(found, expected) < 2e-5);
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let model = Model::random(9, 4, 2);
    let mut reader = model.loaded.module.reader(&model.context).unwrap();
    let prompts = model.prompts(3);
    let fewer = PromptEmbedding { sparse: wave(&[2, 2, 64], 2.0), dense: prompts.dense.clone() };
    assert!(reader.encode_prompts(&fewer).is_err());
    let other =
        PromptEmbedding { dense: wave(&[3, 64, 5, 5], 1.0), sparse: prompts.sparse.clone() };
    assert!(reader.predict_ious(&other).is_err());
    let thin = PromptEmbedding { sparse: wave(&[3, 2, 63], 2.0), dense: prompts.dense.clone() };
    assert!(reader.encode_prompts(&thin).is_err());
    // It can still be used.
    assert!(reader.encode_prompts(&prompts).is_ok());
}

#[cfg(feature = "emulation")]
#[test]
fn kernels_read_a_batch_as_prim_does() {
    for (seed, n, grid, depth) in [(1, 1, 8, 2), (3, 11, 5, 2), (4, 3, 7, 1), (5, 5, 6, 3)] {
        let model = Model::random(seed, grid, depth);
        let prompts = model.prompts(n);
        let expected = model.plain(&prompts);
        let read = || -> Result<Vec<Tensor>> {
            let mut reader = model.loaded.module.reader(&model.context)?;
            let found = reader.encode_prompts(&prompts)?;
            // A single prompt has the same image, whatever it was batched with before.
            let sparse = prompts.sparse.narrow(0, n - 1, 1)?;
            let dense = prompts.dense.narrow(0, n - 1, 1)?;
            let alone = reader.encode_prompts(&PromptEmbedding { sparse, dense })?;
            let mut all: Vec<Tensor> = parts(&found).into_iter().cloned().collect();
            all.extend(parts(&alone).into_iter().cloned());
            all.push(reader.predict_ious(&prompts)?);
            Ok(all)
        };
        let Some(found) = desam_nn::gpu::emulated(read).unwrap() else {
            println!("skipped: kernels are not emulated, there was no C++ compiler");
            return;
        };
        for (found, expected) in found.iter().zip(parts(&expected)) {
            let error = distance(found, expected);
            // The limit of reassociation in f32: of the largest number, against f64.
            assert!(error < 2e-5, "{seed}: {error:.1e}");
        }
        for (alone, expected) in found[3..6].iter().zip(parts(&expected)) {
            let error = distance(alone, &expected.narrow(0, n - 1, 1).unwrap());
            // As above; the largest number of one prompt may be some tenths of that of all.
            assert!(error < 1e-4, "{seed}: {error:.1e}");
        }
        assert_eq!(distance(&found[6], &found[0]), 0.0);
    }
}

#[cfg(feature = "emulation")]
#[test]
fn kernels_keep_prompts_with_masks_apart() {
    let model = Model::random(7, 4, 2);
    let prompts =
        PromptEmbedding { sparse: wave(&[3, 2, 64], 2.0), dense: wave(&[3, 64, 4, 4], 5.0) };
    let expected = model.plain(&prompts);
    let read =
        || Ok(vec![model.loaded.module.reader(&model.context)?.encode_prompts(&prompts)?.iou_all]);
    if let Some(found) = desam_nn::gpu::emulated(read).unwrap() {
        assert!(distance(&found[0], &expected.iou_all) < 2e-5);
    }
}

#[test]
fn the_iou_of_half_precision_tokens_is_f32() {
    let model = Model::random(8, 4, 2);
    let prim = Prim::new(&model.config, {
        let all = model.loaded.tensors.clone().into_iter().collect();
        VarBuilder::from_tensors(all, DType::F32, &Device::Cpu).pp("mask_decoder")
    })
    .unwrap();
    let tokens = wave(&[2, 7, 64], 1.0).to_dtype(DType::BF16).unwrap();
    let iou = prim.iou(&tokens).unwrap();
    assert_eq!((iou.dtype(), iou.dims()), (DType::F32, &[2, 4][..]));
    let sparse = wave(&[2, 2, 64], 1.0).to_dtype(DType::BF16).unwrap();
    assert_eq!(prim.tokens(&sparse).unwrap().dtype(), DType::BF16);
}
