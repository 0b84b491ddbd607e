//! The paper's ablations on one set of weights: the parts that a variant keeps must give DeSAM's
//! outputs, to the bit.

#![allow(clippy::unwrap_used)] // helpers of tests, outside `#[test]`

use candle_core::{DType, Device, Tensor};
use desam_core::{
    EncoderSpec, ImageFeatures, MaskDecoder, MaskPrediction, PromptEmbedding, PromptOutput,
};
use desam_decoder::{Decoder, DecoderConfig, SqueezePlacement, Variant};
use desam_nn::params::{LoadOptions, Loaded, Tensors, load};

fn on_frozen_features() -> impl Iterator<Item = Variant> {
    Variant::ALL.into_iter().filter(|variant| !variant.needs_adapter())
}

const TAPS: [usize; 3] = [12, 10, 8];

fn config(variant: Variant) -> DecoderConfig {
    let spec = EncoderSpec {
        input_side: 64,
        patch: 16,
        tap_channels: TAPS.to_vec(),
        embedding_channels: 32,
    };
    DecoderConfig { variant, ..DecoderConfig::tiny(&spec) }
}

fn built(config: &DecoderConfig, options: &LoadOptions) -> Loaded<Decoder> {
    let loaded = load(Tensors::new(), options, |vb| config.build(vb)).unwrap();
    loaded.report.check().unwrap();
    loaded
}

/// The same weights for every variant: they hang on the seed and the name.
fn seeded(variant: Variant) -> Decoder {
    built(&config(variant), &LoadOptions::seeded(1)).module
}

fn wave(shape: &[usize], seed: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let t = Tensor::arange(0u32, n as u32, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    t.affine(0.7371, seed).unwrap().sin().unwrap().reshape(shape).unwrap()
}

fn features(images: usize) -> ImageFeatures {
    let taps = TAPS.map(|c| wave(&[images, c, 4, 4], c as f64)).to_vec();
    ImageFeatures { taps, embedding: wave(&[images, 32, 4, 4], 3.0) }
}

fn prompts(n: usize) -> PromptEmbedding {
    PromptEmbedding { sparse: wave(&[n, 2, 32], 5.0), dense: wave(&[n, 32, 4, 4], 6.0) }
}

fn position() -> Tensor {
    wave(&[1, 32, 4, 4], 7.0)
}

fn decoded(decoder: &Decoder, images: usize, n: usize) -> MaskPrediction {
    decoder.decode(&features(images), &position(), &prompts(n)).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// The masks of three prompts of one image.
fn three(prediction: &MaskPrediction) -> [Vec<f32>; 3] {
    [0, 1, 2].map(|i| numbers(&prediction.logits.narrow(0, i, 1).unwrap()))
}

#[test]
fn masks_depend_on_the_prompt_where_the_variant_says_so() {
    for variant in on_frozen_features() {
        let decoder = seeded(variant);
        assert_eq!(decoder.mask_follows_prompt(), variant.mask_follows_prompt());
        assert_eq!(decoder.predicts_iou(), variant.predicts_iou());
        let prediction = decoded(&decoder, 1, 3);
        assert_eq!(prediction.logits.dims(), [3, 1, 16, 16], "{variant}");
        let [a, b, c] = three(&prediction);
        assert_eq!(a != b && b != c, variant.mask_follows_prompt(), "{variant}");
        assert_eq!(a == b && b == c, !variant.mask_follows_prompt(), "{variant}");
        let iou = numbers(&prediction.iou);
        assert_eq!(iou.len(), 3);
        assert_eq!(iou != [1.0; 3], variant.predicts_iou(), "{variant}: {iou:?}");
        assert_eq!(iou[0] != iou[1], variant.predicts_iou(), "{variant}: {iou:?}");
    }
}

#[test]
fn without_the_iou_head_the_mask_is_desams() {
    let [desam, without] = [Variant::Desam, Variant::NoIouHead].map(|v| decoded(&seeded(v), 2, 2));
    assert_eq!(numbers(&desam.logits), numbers(&without.logits));
    assert_ne!(numbers(&desam.iou), numbers(&without.iou));
}

#[test]
fn without_mask_fusion_the_iou_is_desams_and_the_mask_pimms_alone() {
    for (images, n) in [(1, 3), (2, 2)] {
        let [desam, unfused, alone] = [Variant::Desam, Variant::NoMaskFusion, Variant::PimmOnly]
            .map(|v| decoded(&seeded(v), images, n));
        assert_eq!(numbers(&unfused.iou), numbers(&desam.iou));
        assert_eq!(numbers(&unfused.logits), numbers(&alone.logits));
        assert_ne!(numbers(&unfused.logits), numbers(&desam.logits));
    }
}

#[test]
fn pimm_alone_fuses_the_encoders_embedding() {
    // DeSAM with the encoder's embedding in place of PRIM's mask embedding.
    let (desam, alone) = (seeded(Variant::Desam), seeded(Variant::PimmOnly));
    let features = features(2);
    let context = desam.context(&features, &position()).unwrap();
    let reading = desam.encode_prompts(&context, &prompts(2)).unwrap();
    let fed = PromptOutput { mask_embedding: features.embedding.clone(), ..reading };
    let expected = desam.decode_masks(&context, &fed).unwrap();
    assert_eq!(numbers(&decoded(&alone, 2, 2).logits), numbers(&expected));
}

#[test]
fn a_variant_without_prompts_still_checks_their_number() {
    for variant in [Variant::PimmOnly, Variant::NoMaskFusion] {
        let message =
            seeded(variant).decode(&features(2), &position(), &prompts(3)).unwrap_err().to_string();
        assert!(message.contains("2 images for 3 prompts"), "{variant}: {message}");
    }
}

#[test]
fn desam_and_its_ablations_hold_the_same_parameters_and_sams_decoder_has_no_pimm() {
    let names = |variant| -> Vec<String> {
        built(&config(variant), &LoadOptions::seeded(1)).tensors.into_keys().collect()
    };
    let desam = names(Variant::Desam);
    for variant in [Variant::PimmOnly, Variant::NoIouHead, Variant::NoMaskFusion] {
        assert_eq!(names(variant), desam, "{variant}");
    }
    let sam: Vec<String> =
        desam.into_iter().filter(|n| !n.starts_with("mask_decoder.pimm.")).collect();
    assert_eq!(names(Variant::SamDecoder), sam);
}

#[test]
fn every_parameter_of_every_variant_is_inert_or_receives_a_gradient() {
    for variant in on_frozen_features() {
        for squeeze in [SqueezePlacement::Official, SqueezePlacement::BeforeNorm] {
            for deep_supervision in [false, true] {
                let config = DecoderConfig { squeeze, deep_supervision, ..config(variant) };
                if config.validate().is_err() {
                    assert!(deep_supervision && variant == Variant::SamDecoder);
                    continue;
                }
                learns(&config);
            }
        }
    }
}

fn learns(config: &DecoderConfig) {
    let what =
        format!("{}, {:?}, supervised {}", config.variant, config.squeeze, config.deep_supervision);
    let Loaded { module, vars, .. } = built(config, &LoadOptions::trainable(1));
    let out = decoded(&module, 2, 2);
    let sides: Vec<usize> = out.coarser.iter().map(|h| h.dim(3).unwrap()).collect();
    let coarser: &[usize] = if config.deep_supervision { &[8] } else { &[] };
    assert_eq!(sides, coarser, "{what}");
    let weighed = |t: &Tensor| (t * wave(t.dims(), 0.5)).unwrap().sum_all().unwrap();
    let mut objective = weighed(&out.logits);
    for t in out.coarser.iter().chain([&out.iou]) {
        objective = (objective + weighed(t)).unwrap();
    }
    let grads = objective.backward().unwrap();
    for (name, var) in &vars {
        let norm = grads
            .get(var.as_tensor())
            .map(|g| g.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt());
        match norm {
            Some(norm) => {
                assert!(!module.is_inert(name), "{what}: {name} is called inert and got {norm}");
                // Softmax is blind to the keys' bias, and a gate with one hidden unit learns
                // nothing while its rectifier is shut.
                let may_be_zero = name.contains(".se.fc.") || name.ends_with("k_proj.bias");
                assert!(norm.is_finite() && (norm > 0.0 || may_be_zero), "{what}: {name}: {norm}");
            }
            None => assert!(module.is_inert(name), "{what}: {name} got no gradient"),
        }
    }
}

#[test]
fn an_auxiliary_head_is_the_mask_of_a_decoder_over_the_deeper_taps() {
    let deep = DecoderConfig { deep_supervision: true, ..config(Variant::Desam) };
    let deep = built(&deep, &LoadOptions::seeded(1)).module;
    let shallow = DecoderConfig { tap_channels: TAPS[1..].to_vec(), ..config(Variant::Desam) };
    let shallow = built(&shallow, &LoadOptions::seeded(1)).module;
    let mut features = features(1);
    let supervised = deep.decode(&features, &position(), &prompts(3)).unwrap();
    features.taps.remove(0);
    let expected = shallow.decode(&features, &position(), &prompts(3)).unwrap();
    assert_eq!(supervised.coarser.len(), 1);
    assert_eq!(numbers(&supervised.coarser[0]), numbers(&expected.logits));
    // The mask is the same with and without.
    assert_eq!(
        numbers(&supervised.logits),
        numbers(&decoded(&seeded(Variant::Desam), 1, 3).logits)
    );
}

#[test]
fn each_class_has_its_own_mask_and_iou() {
    for variant in on_frozen_features() {
        for classes in [2, 4, 6] {
            let config =
                DecoderConfig { classes, deep_supervision: variant.has_pimm(), ..config(variant) };
            if variant == Variant::SamDecoder && classes > 4 {
                // It has a mask for each of SAM's four mask tokens.
                let error = config.validate().unwrap_err().to_string();
                assert!(error.contains("4 mask tokens"), "{error}");
                continue;
            }
            let Loaded { module, tensors, .. } = built(&config, &LoadOptions::seeded(1));
            let out = decoded(&module, 2, 2);
            assert_eq!(module.classes(), classes);
            assert_eq!(out.logits.dims(), [2, classes, 16, 16], "{variant}");
            assert_eq!(out.iou.dims(), [2, classes], "{variant}");
            assert!(out.coarser.iter().all(|head| head.dims()[1] == classes));
            let plane = |class: usize| numbers(&out.logits.narrow(1, class, 1).unwrap());
            assert_ne!(plane(0), plane(1));
            learns(&DecoderConfig { deep_supervision: false, ..config.clone() });
            // What depends on the number of classes is named, and everything else is the same.
            let single =
                built(&DecoderConfig { classes: 1, ..config.clone() }, &LoadOptions::seeded(1));
            for (name, tensor) in &tensors {
                let named = config.class_parameters().contains(name);
                assert!(named || tensor.dims() == single.tensors[name].dims(), "{name}");
                if named {
                    assert_eq!(config.class_outputs(name), Some(tensor.dims()[0]), "{name}");
                }
            }
            if variant.has_pimm() {
                let spec = EncoderSpec {
                    input_side: 64,
                    patch: 16,
                    tap_channels: TAPS.to_vec(),
                    embedding_channels: 32,
                };
                assert_eq!(DecoderConfig::from_tensors(&tensors, &spec).unwrap().classes, classes);
            }
        }
    }
}
