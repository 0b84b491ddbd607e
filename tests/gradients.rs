//! Who learns: every trainable parameter that can matter, and nothing frozen.

use crate::support::{norm, numbers, toy_vit};
use desam::Mode;
use desam::candle::{DType, Device, Tensor};
use desam::decoder::{Decoder, DecoderConfig, SqueezePlacement};
use desam::encoder::FrozenSam;
use desam::metrics::loss::LossConfig;
use desam::nn::params::{LoadOptions, Loaded, Tensors, load};
use desam::prompt::whole_box;
use desam::types::{ImageEncoder, Loss, LossTarget, MaskDecoder, Point, PromptEncoder, Prompts};
use std::collections::BTreeMap;

/// Two images of waves, `[2, 3, S, S]`.
fn pixels(side: usize) -> Tensor {
    let n = 2 * 3 * side * side;
    let t = Tensor::arange(0u32, n as u32, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    t.affine(0.0137, 0.3).unwrap().sin().unwrap().reshape((2, 3, side, side)).unwrap()
}

/// A disc in the middle of a mask, `[2, 1, M, M]`.
fn discs(side: usize) -> Tensor {
    let middle = side as f64 / 2.0;
    let value = |i: usize| {
        let (x, y) = ((i % side) as f64 - middle, (i / side % side) as f64 - middle);
        f32::from(u8::from(x.hypot(y) < 0.3 * side as f64))
    };
    let values: Vec<f32> = (0..2 * side * side).map(value).collect();
    Tensor::from_vec(values, (2, 1, side, side), &Device::Cpu).unwrap()
}

/// What one backward pass left: the decoder, and the norm of each gradient by parameter.
struct Learned {
    decoder: Loaded<Decoder>,
    norms: BTreeMap<String, f64>,
}

fn learn(mode: Mode, squeeze: SqueezePlacement) -> Learned {
    let frozen = FrozenSam::random(&toy_vit(), 3).unwrap();
    let spec = frozen.sam.image.spec().clone();
    let features = frozen.sam.image.encode(&pixels(spec.input_side)).unwrap();

    let config = DecoderConfig { squeeze, ..DecoderConfig::tiny(&spec) };
    let decoder = load(Tensors::new(), &LoadOptions::trainable(4), |vb| config.build(vb)).unwrap();
    let prompts = match mode {
        Mode::Points => {
            Prompts::points(&[Point::foreground(60.0, 62.0), Point::foreground(9.0, 100.0)])
        }
        Mode::Box => Prompts::boxes(&[whole_box(spec.input_side as f32).unwrap(); 2]),
    };
    let embedding = frozen.sam.prompt.encode(&prompts.unwrap()).unwrap();
    let position = frozen.sam.prompt.dense_pe();
    let prediction = decoder.module.decode(&features, position, &embedding).unwrap();
    let (loss, iou) = match mode {
        Mode::Points => {
            let labels = Tensor::new(&[[1f32], [0.0]], &Device::Cpu).unwrap();
            (LossConfig::paper_points(), Some(labels))
        }
        Mode::Box => (LossConfig::paper_box(), None),
    };
    let target = LossTarget { mask: discs(spec.mask_side()), iou };
    let value = loss.build().unwrap().forward(&prediction, &target).unwrap();
    let grads = value.total.backward().unwrap();

    // What enters the decoder has no history, so nothing can flow behind it: candle may leave a
    // gradient on such a constant itself, never on a parameter it was made from.
    let entering = [&embedding.sparse, &embedding.dense, position, &features.embedding];
    assert!(entering.into_iter().chain(&features.taps).all(|t| !t.track_op()));
    assert!(frozen.tensors.len() > 100, "{}", frozen.tensors.len());
    for (name, tensor) in &frozen.tensors {
        assert!(!tensor.is_variable(), "{name} could be trained");
        assert!(grads.get(tensor).is_none(), "{name} is frozen and got a gradient");
    }
    let norms = decoder.vars.iter().filter_map(|(name, var)| {
        Some((name.clone(), norm(&numbers(grads.get(var.as_tensor())?))))
    });
    Learned { norms: norms.collect(), decoder }
}

/// Softmax is blind to the keys' bias: its gradient is rounding noise, or nothing.
fn is_blind(name: &str) -> bool {
    name.ends_with("k_proj.bias")
}

/// What only the predicted IoU depends on: the last look of the tokens at the image and the IoU
/// head. The image tokens, hence the mask, are finished before (SAM's two-way transformer).
fn serves_iou_alone(name: &str) -> bool {
    [".iou_prediction_head.", ".transformer.final_attn_token_to_image.", ".norm_final_attn."]
        .iter()
        .any(|part| name.contains(part))
}

fn check(mode: Mode, squeeze: SqueezePlacement) {
    let Learned { decoder, norms } = learn(mode, squeeze);
    let module = &decoder.module;
    let mut learning = 0;
    for name in decoder.vars.keys() {
        let idle = module.is_inert(name) || (mode == Mode::Box && serves_iou_alone(name));
        match norms.get(name) {
            Some(norm) => {
                assert!(!idle, "{name} cannot matter and got a gradient of {norm}");
                // A gate with few hidden units learns nothing while its rectifiers are shut.
                let may_be_zero = is_blind(name) || name.contains(".se.fc.");
                assert!(norm.is_finite() && (*norm > 0.0 || may_be_zero), "{name}: {norm}");
                learning += 1;
            }
            None => assert!(idle, "{name} got no gradient"),
        }
    }
    assert!(learning > 80, "{learning} of {} learn", decoder.vars.len());
}

#[test]
fn grid_points_mode_trains_all_that_can_matter() {
    check(Mode::Points, SqueezePlacement::Official);
    check(Mode::Points, SqueezePlacement::BeforeNorm);
}

#[test]
fn whole_box_mode_trains_pimm_and_what_the_mask_depends_on() {
    check(Mode::Box, SqueezePlacement::Official);
}
