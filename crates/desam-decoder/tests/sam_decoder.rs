//! SAM's mask decoder compared with an independent implementation in elementary double-precision
//! operations, written after the published description of SAM (its section "Lightweight mask
//! decoder"), and its gradients against finite differences of that implementation.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test's way to fail, and to say that it was skipped

mod plain_sam;

use candle_core::{DType, Device, Tensor};
use desam_core::{EncoderSpec, ImageFeatures, MaskDecoder, PromptEmbedding};
use desam_decoder::{DecoderConfig, SamDecoder, Variant};
use desam_nn::params::{LoadOptions, Loaded, Tensors, load};
use plain_sam::{PlainSam, double};
use std::path::PathBuf;

/// One image, its prompts and its positions, in f32.
struct Input {
    features: ImageFeatures,
    prompts: PromptEmbedding,
    position: Tensor,
}

fn wave(shape: &[usize], seed: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let t = Tensor::arange(0u32, n as u32, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    t.affine(0.7371, seed).unwrap().sin().unwrap().reshape(shape).unwrap()
}

/// A 3×3 grid of 16 channels.
fn small() -> DecoderConfig {
    let spec =
        EncoderSpec { input_side: 48, patch: 16, tap_channels: vec![5; 3], embedding_channels: 16 };
    DecoderConfig { variant: Variant::SamDecoder, ..DecoderConfig::tiny(&spec) }
}

fn input(images: usize, prompts: usize) -> Input {
    let (e, g) = (16, 3);
    Input {
        features: ImageFeatures { taps: Vec::new(), embedding: wave(&[images, e, g, g], 3.0) },
        prompts: PromptEmbedding {
            sparse: wave(&[prompts, 2, e], 5.0),
            dense: wave(&[prompts, e, g, g], 6.0),
        },
        position: wave(&[1, e, g, g], 7.0),
    }
}

fn seeded() -> Loaded<SamDecoder> {
    let build = |vb: candle_nn::VarBuilder<'_>| SamDecoder::new(&small(), vb.pp("mask_decoder"));
    load(Tensors::new(), &LoadOptions::trainable(3), build).unwrap()
}

fn relative(out: &Tensor, reference: &Tensor) -> f64 {
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    assert_eq!(out.dims(), reference.dims());
    norm(&(double(out) - reference).unwrap()) / norm(reference)
}

/// All masks and IoU of both implementations.
fn compare(model: &SamDecoder, weights: &Tensors, input: &Input) {
    let context = model.context(&input.features, &input.position).unwrap();
    let reading = model.encode_prompts(&context, &input.prompts).unwrap();
    if input.features.embedding.dim(0).unwrap() == 1 {
        // Many prompts of one image have a dedicated reader.
        let found = model.reader(&context).unwrap().encode_prompts(&input.prompts).unwrap();
        let [found, plain] = [found, reading.clone()].map(|r| model.masks(&r).unwrap());
        assert!(relative(&found, &double(&plain)) < 2e-5);
    }
    let (masks, one) =
        (model.masks(&reading).unwrap(), model.decode_masks(&context, &reading).unwrap());
    let plain = PlainSam::new(weights, model.config().heads);
    let expected = plain.run(&input.features.embedding, &input.prompts, &input.position);
    // 2e-5: the limit agreed for f32 on the CPU.
    for (name, found, expected) in
        [("masks", &masks, &expected.masks), ("IoU", &reading.iou_all, &expected.iou)]
    {
        let error = relative(found, expected);
        assert!(error < 2e-5, "{name}: {error:.2e}");
    }
    let first = expected.masks.narrow(1, 0, 1).unwrap();
    assert!(relative(&one, &first) < 2e-5);
    assert!(relative(&reading.ious(1).unwrap(), &expected.iou.narrow(1, 0, 1).unwrap()) < 2e-5);
}

#[test]
fn masks_and_ious_are_those_of_elementary_operations() {
    let loaded = seeded();
    loaded.report.check().unwrap();
    for (images, prompts) in [(1, 1), (1, 3), (2, 2)] {
        compare(&loaded.module, &loaded.tensors, &input(images, prompts));
    }
}

#[test]
fn an_official_checkpoints_mask_decoder_gives_the_same_masks() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/tiny");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    let read =
        |file: &str| candle_core::safetensors::load(folder.join(file), &Device::Cpu).unwrap();
    let (all, prompt, train) = (
        read("trained.safetensors"),
        read("prompt_encoder.safetensors"),
        read("train.safetensors"),
    );
    // The reference's names and shapes, PIMM's left out: nothing may be missing or left over.
    let sams = |name: &str| name.starts_with("mask_decoder.") && !name.contains(".pimm.");
    let part: Tensors = all.into_iter().filter(|(name, _)| sams(name)).collect();
    let spec = EncoderSpec {
        input_side: 256,
        patch: 16,
        tap_channels: vec![96; 3],
        embedding_channels: 64,
    };
    let config = DecoderConfig::from_tensors(&part, &spec).unwrap();
    let build = |vb: candle_nn::VarBuilder<'_>| SamDecoder::new(&config, vb.pp("mask_decoder"));
    let loaded = load(part, &LoadOptions::frozen(), build).unwrap();
    loaded.report.check().unwrap();
    let embedding = train["features3"].narrow(0, 0, 3).unwrap();
    for kind in ["points", "boxes"] {
        let input = Input {
            features: ImageFeatures { taps: Vec::new(), embedding: embedding.clone() },
            prompts: PromptEmbedding {
                sparse: prompt[&format!("{kind}.sparse")].clone(),
                dense: prompt[&format!("{kind}.dense")].clone(),
            },
            position: prompt["dense_pe"].clone(),
        };
        compare(&loaded.module, &loaded.tensors, &input);
    }
}

/// `Σ masks · w + Σ IoU · v` for fixed waves `w` and `v`.
fn objective(masks: &Tensor, iou: &Tensor) -> Tensor {
    let weigh = |t: &Tensor, seed: f64| {
        let weights = wave(t.dims(), seed).to_dtype(t.dtype()).unwrap();
        (t * weights).unwrap().sum_all().unwrap()
    };
    (weigh(masks, 0.5) + weigh(iou, 0.9)).unwrap()
}

#[test]
fn gradients_are_those_of_finite_differences_for_every_parameter() {
    let Loaded { module, vars, tensors, .. } = seeded();
    let input = input(2, 2);
    let context = module.context(&input.features, &input.position).unwrap();
    let reading = module.encode_prompts(&context, &input.prompts).unwrap();
    let value = objective(&module.masks(&reading).unwrap(), &reading.iou_all);
    let grads = value.backward().unwrap();
    let weights: Tensors = tensors.iter().map(|(k, v)| (k.clone(), double(v))).collect();
    let plain = |weights: &Tensors| {
        let out = PlainSam::new(weights, module.config().heads).run(
            &input.features.embedding,
            &input.prompts,
            &input.position,
        );
        objective(&out.masks, &out.iou).to_scalar::<f64>().unwrap()
    };
    for (name, var) in &vars {
        let grad = grads.get(var.as_tensor()).unwrap_or_else(|| panic!("{name} got no gradient"));
        let grad: Vec<f64> = double(grad).flatten_all().unwrap().to_vec1().unwrap();
        let largest = grad.iter().map(|g| g.abs()).fold(0.0, f64::max);
        // Softmax is blind to the keys' bias: its gradient is rounding noise.
        assert!(largest > 1e-4 || name.ends_with("k_proj.bias"), "{name}: {largest}");
        let steepest = grad.iter().position(|g| g.abs() == largest).unwrap();
        for element in [grad.len() / 2, steepest] {
            let moved = |by: f64| {
                let mut values: Vec<f64> = weights[name].flatten_all().unwrap().to_vec1().unwrap();
                values[element] += by;
                let tensor = Tensor::from_vec(values, weights[name].dims(), &Device::Cpu).unwrap();
                let mut weights = weights.clone();
                weights.insert(name.clone(), tensor);
                plain(&weights)
            };
            let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            // f32 sums of some thousand products; differences are good to about 1e-8.
            let error = (grad[element] - expected).abs();
            assert!(
                error < 1e-4 * largest.max(1.0),
                "{name}[{element}]: {} against {expected}",
                grad[element]
            );
        }
    }
}

#[test]
fn one_mask_trains_all_but_the_other_tokens_hypernetworks() {
    let Loaded { module, vars, .. } = seeded();
    let input = input(2, 2);
    let out = module.decode(&input.features, &input.position, &input.prompts).unwrap();
    assert_eq!((out.logits.dims(), out.iou.dims()), (&[2, 1, 12, 12][..], &[2, 1][..]));
    let grads = objective(&out.logits, &out.iou).backward().unwrap();
    let inert: Vec<&String> = vars.keys().filter(|name| module.is_inert(name)).collect();
    assert_eq!(inert.len(), 3 * 6, "{inert:?}"); // three perceptrons of three layers
    for (name, var) in &vars {
        assert_eq!(grads.get(var.as_tensor()).is_none(), module.is_inert(name), "{name}");
    }
}

#[test]
fn an_embedding_of_another_encoder_is_refused_with_both_sizes() {
    let model = seeded().module;
    let mut input = input(1, 1);
    input.features.embedding = wave(&[1, 24, 3, 3], 1.0);
    let message = model.context(&input.features, &input.position).unwrap_err().to_string();
    assert!(message.contains("16") && message.contains("24"), "{message}");
}
