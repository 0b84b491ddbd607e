//! The decoder against vectors that the official program computed (PyTorch f32 on a CPU), and its
//! gradients. Source of every number: `shared/reference/README.md`, where the checkout has it.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test's way to fail, and to say that it was skipped

use candle_core::{DType, Device, Tensor};
use desam_core::{EncoderSpec, ImageFeatures, MaskDecoder, PromptEmbedding};
use desam_decoder::{Decoder, DecoderConfig, SqueezePlacement, Variant};
use desam_nn::params::{LoadOptions, Loaded, Tensors, load};
use std::path::PathBuf;

fn shared(file: &str) -> Option<Tensors> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../../../shared/reference/tiny").join(file);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect())
}

fn spec() -> EncoderSpec {
    EncoderSpec { input_side: 256, patch: 16, tap_channels: vec![96; 3], embedding_channels: 64 }
}

fn relative(out: &Tensor, reference: &Tensor) -> f64 {
    let norm = |t: Tensor| {
        let sum = t.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap();
        sum.to_scalar::<f64>().unwrap().sqrt()
    };
    assert_eq!(out.dims(), reference.dims());
    norm((out - reference).unwrap()) / norm(reference.clone())
}

fn trained(tensors: &Tensors) -> Loaded<Decoder> {
    let ours = tensors.iter().filter(|(k, _)| k.starts_with("mask_decoder."));
    let ours: Tensors = ours.map(|(k, v)| (k.clone(), v.clone())).collect();
    let config = DecoderConfig::from_tensors(&ours, &spec()).unwrap();
    let loaded = load(ours, &LoadOptions::frozen(), |vb| config.build(vb)).unwrap();
    loaded.report.check().unwrap();
    loaded
}

#[test]
fn masks_and_ious_are_the_official_programs() {
    let (Some(weights), Some(decoder), Some(prompt), Some(train)) = (
        shared("trained.safetensors"),
        shared("decoder.safetensors"),
        shared("prompt_encoder.safetensors"),
        shared("train.safetensors"),
    ) else {
        return;
    };
    let model = trained(&weights).module;
    assert_eq!(model.config(), &DecoderConfig::tiny(&spec()));
    let features = |i: usize| train[&format!("features{i}")].narrow(0, 0, 3).unwrap();
    let features = ImageFeatures { taps: (0..3).map(features).collect(), embedding: features(3) };
    for kind in ["points", "boxes", "points_masks"] {
        let embedding = PromptEmbedding {
            sparse: prompt[&format!("{kind}.sparse")].clone(),
            dense: prompt.get(&format!("{kind}.dense")).unwrap_or(&prompt["masks.dense"]).clone(),
        };
        let context = model.context(&features, &prompt["dense_pe"]).unwrap();
        let reading = model.encode_prompts(&context, &embedding).unwrap();
        let logits = model.decode_masks(&context, &reading).unwrap();
        for (out, name) in [
            (&reading.mask_embedding, "mask_embedding"),
            (&reading.iou_all, "iou_all"),
            (&reading.ious(1).unwrap(), "iou"),
            (&logits, "mask"),
        ] {
            let error = relative(out, &decoder[&format!("{kind}.{name}")]);
            // 2e-5: the limit agreed for f32 on the CPU.
            assert!(error < 2e-5, "{kind}.{name}: {error:.2e}");
        }
    }
}

#[test]
fn a_batch_of_prompts_equals_its_prompts_decoded_one_by_one() {
    let loaded = seeded(SqueezePlacement::Official);
    let (features, prompts, position) = inputs(1, 3);
    let together = loaded.module.decode(&features, &position, &prompts).unwrap();
    for i in 0..3 {
        let one = PromptEmbedding {
            sparse: prompts.sparse.narrow(0, i, 1).unwrap(),
            dense: prompts.dense.narrow(0, i, 1).unwrap(),
        };
        let alone = loaded.module.decode(&features, &position, &one).unwrap();
        let share = together.logits.narrow(0, i, 1).unwrap();
        assert!(relative(&share, &alone.logits) < 1e-5);
        assert!(relative(&together.iou.narrow(0, i, 1).unwrap(), &alone.iou) < 1e-5);
    }
}

fn wave(shape: &[usize], seed: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let t = Tensor::arange(0u32, n as u32, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    t.affine(0.7371, seed).unwrap().sin().unwrap().reshape(shape).unwrap()
}

fn small() -> DecoderConfig {
    let spec = EncoderSpec {
        input_side: 64,
        patch: 16,
        tap_channels: vec![12, 10, 8],
        embedding_channels: 32,
    };
    DecoderConfig::tiny(&spec)
}

fn seeded(squeeze: SqueezePlacement) -> Loaded<Decoder> {
    let config = DecoderConfig { squeeze, ..small() };
    let loaded = load(Tensors::new(), &LoadOptions::trainable(1), |vb| config.build(vb)).unwrap();
    loaded.report.check().unwrap();
    loaded
}

fn inputs(images: usize, prompts: usize) -> (ImageFeatures, PromptEmbedding, Tensor) {
    let taps = [12, 10, 8].map(|c| wave(&[images, c, 4, 4], c as f64)).to_vec();
    let features = ImageFeatures { taps, embedding: wave(&[images, 32, 4, 4], 3.0) };
    let embedding = PromptEmbedding {
        sparse: wave(&[prompts, 2, 32], 5.0),
        dense: wave(&[prompts, 32, 4, 4], 6.0),
    };
    (features, embedding, wave(&[1, 32, 4, 4], 7.0))
}

#[test]
fn every_parameter_that_can_matter_receives_a_gradient_and_no_other() {
    for squeeze in [SqueezePlacement::Official, SqueezePlacement::BeforeNorm] {
        // The deepest tap has its level's channels in one of the two, so its shortcut is unused.
        let deepest = if squeeze == SqueezePlacement::Official { 8 } else { 32 };
        let config = DecoderConfig { squeeze, tap_channels: vec![12, 10, deepest], ..small() };
        let options = LoadOptions::trainable(1);
        let Loaded { module, vars, .. } =
            load(Tensors::new(), &options, |vb| config.build(vb)).unwrap();
        let (mut features, prompts, position) = inputs(2, 2);
        features.taps[2] = wave(&[2, deepest, 4, 4], 1.0);
        let out = module.decode(&features, &position, &prompts).unwrap();
        let weights = wave(out.logits.dims(), 0.5);
        let mask = (out.logits * weights).unwrap().sum_all().unwrap();
        let grads = (mask + out.iou.sum_all().unwrap()).unwrap().backward().unwrap();
        let mut gates = 0;
        for (name, var) in &vars {
            let norm = grads
                .get(var.as_tensor())
                .map(|g| g.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt());
            match norm {
                Some(norm) => {
                    assert!(!module.is_inert(name), "{name} is called inert and got {norm}");
                    assert!(norm.is_finite(), "{name}: {norm}");
                    // Softmax is blind to the key's bias: its gradient is rounding noise. A gate
                    // with one hidden unit learns nothing while its rectifier is shut.
                    let gate = name.contains(".se.fc.");
                    gates += usize::from(gate && norm > 0.0);
                    let may_be_zero = gate || name.ends_with("k_proj.bias");
                    assert!(norm > 0.0 || may_be_zero, "{name}: {norm}");
                }
                None => assert!(module.is_inert(name), "{name} got no gradient"),
            }
        }
        assert_eq!(gates > 0, squeeze == SqueezePlacement::BeforeNorm);
    }
}

#[test]
fn wrong_features_are_refused_with_both_shapes() {
    let model = seeded(SqueezePlacement::Official).module;
    let (mut features, prompts, position) = inputs(2, 3);
    let message = model.decode(&features, &position, &prompts).unwrap_err().to_string();
    assert!(message.contains("2 images for 3 prompts"), "{message}");
    features.taps.reverse();
    let message = model.decode(&features, &position, &prompts).unwrap_err().to_string();
    assert!(message.contains("[12, 10, 8]") && message.contains("[8, 10, 12]"), "{message}");
}

#[test]
fn configurations_that_cannot_be_built_are_refused() {
    let bad = [
        DecoderConfig { tap_channels: vec![], ..small() },
        // One tap leaves no step up, and it is a step that draws.
        DecoderConfig { tap_channels: vec![12], ..small() },
        DecoderConfig { embedding_channels: 36, ..small() },
        DecoderConfig { heads: 3, ..small() },
        DecoderConfig { mlp_width: 0, ..small() },
        // SAM's decoder draws at four times the grid's side, as PIMM does over three taps.
        DecoderConfig { variant: Variant::SamDecoder, tap_channels: vec![12, 10], ..small() },
    ];
    for config in bad {
        assert!(config.validate().is_err(), "{config:?}");
    }
}

#[test]
fn a_configuration_from_before_the_variants_means_desam() {
    let config = DecoderConfig { variant: Variant::NoIouHead, ..small() };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<DecoderConfig>(&text).unwrap(), config);
    let before = text.replace(",\"variant\":\"no-iou-head\"", "");
    assert_ne!(before, text);
    assert_eq!(serde_json::from_str::<DecoderConfig>(&before).unwrap(), small());
}

#[test]
fn a_checkpoint_without_a_mask_decoder_is_refused_by_name() {
    let error = DecoderConfig::from_tensors(&Tensors::new(), &spec()).unwrap_err().to_string();
    assert!(error.contains("mask_decoder.iou_token.weight"), "{error}");
}
