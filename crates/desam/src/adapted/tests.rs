//! Loading, starting and assembling adapted models, on a small SAM.

use super::*;
use candle_core::{DType, Device};
use desam_decoder::ClassDecoderConfig;
use desam_encoder::adapter::LoraConfig;
use desam_encoder::checkpoint::write;
use desam_encoder::{Checkpoint, FrozenSam, VitConfig};
use desam_nn::params::{LoadOptions, Tensors, load};

fn sam() -> Tensors {
    let vit = VitConfig {
        input_side: 64,
        depth: 2,
        global_blocks: vec![1],
        window: 3,
        embedding_channels: 16,
        ..VitConfig::tiny()
    };
    let mut tensors = FrozenSam::random(&vit, 3).unwrap().tensors;
    let decoder = ClassDecoderConfig::sam(16, 4);
    let decoder = load(Tensors::new(), &LoadOptions::seeded(3), |vb| decoder.build(vb)).unwrap();
    tensors.extend(decoder.tensors);
    tensors
}

fn pixels(side: usize) -> Tensor {
    let values = (0..3 * side * side).map(|i| ((i * 7919 % 1013) as f32) / 500.0 - 1.0);
    Tensor::from_iter(values, &Device::Cpu).unwrap().reshape((1, 3, side, side)).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn dapsam_starts_from_a_sam_of_another_side_and_is_saved_in_its_own() {
    let options = AdaptedOptions::default().with_input_side(96);
    let start = AdaptedSam::dapsam_from_sam(&sam(), 2, 5, &options).unwrap();
    let logits = start.model.logits(&pixels(96)).unwrap();
    assert_eq!(logits.dims(), &[1, 2, 96, 96]);
    assert_eq!(start.tensors["image_encoder.pos_embed"].dims(), &[1, 6, 6, 96]);
    assert!(start.vars.is_empty());
    // Its tensors are a file of DAPSAM's layout: no prompt encoder, everything else.
    assert!(!start.tensors.keys().any(|name| name.starts_with("prompt_encoder.")));
    let again = AdaptedSam::dapsam(&start.tensors, &AdaptedOptions::default()).unwrap();
    assert_eq!(values(&again.model.logits(&pixels(96)).unwrap()), values(&logits));
}

#[test]
fn lora_is_loaded_from_its_file_and_the_sam() {
    let (sam, options) = (sam(), AdaptedOptions::default());
    let sizes = LoraStart { classes: 2, rank: 3 };
    let start = AdaptedSam::lora_from_sam(&sam, sizes, 5, &options).unwrap();
    let output = start.model.forward(&pixels(64)).unwrap();
    // Background included; updates of zero leave SAM's embedding.
    assert_eq!(output.masks.logits.dims(), &[1, 3, 16, 16]);
    let plain = start.model.encoder().vit().encode(&pixels(64)).unwrap().embedding;
    assert_eq!(values(&output.embedding), values(&plain));
    let mut file = start.tensors;
    file.retain(|name, _| !name.starts_with("image_encoder."));
    assert_eq!(file.keys().filter(|name| LoraConfig::is_adapter(name)).count(), 8);
    let again = AdaptedSam::lora(&sam, &file, &options).unwrap();
    let found = again.model.forward(&pixels(64)).unwrap().masks.logits;
    assert_eq!(values(&found), values(&output.masks.logits));
}

#[test]
fn variables_are_what_the_official_programs_train() {
    let options = AdaptedOptions::default().trainable(true);
    let dapsam = AdaptedSam::dapsam_from_sam(&sam(), 1, 5, &options).unwrap();
    let sizes = LoraStart { classes: 1, rank: 4 };
    let lora = AdaptedSam::lora_from_sam(&sam(), sizes, 5, &options).unwrap();
    for (vars, kinds) in [
        (&dapsam.vars, &["adapter", "prompt_generator.", "mask_decoder."][..]),
        (&lora.vars, &["w_a_", "w_b_", "prompt_encoder.", "mask_decoder."]),
    ] {
        assert!(vars.keys().all(|name| kinds.iter().any(|kind| name.contains(kind))));
        assert!(kinds.iter().all(|kind| vars.keys().any(|name| name.contains(kind))));
        // The matrix of the positional encoding is a buffer.
        assert!(!vars.keys().any(|name| name.contains("gaussian_matrix")));
    }
    assert!(dapsam.tensors.contains_key("image_encoder.blocks.0.attn.qkv.weight"));
}

#[test]
fn missing_and_unexpected_parameters_are_named() {
    let options = AdaptedOptions::default();
    let start = AdaptedSam::dapsam_from_sam(&sam(), 1, 5, &options).unwrap();
    let mut tensors = start.tensors;
    let adapter = tensors.remove("image_encoder.blocks.1.channel_adapter.D_fc2.bias").unwrap();
    tensors.insert("prompt_generator.temperature".into(), adapter);
    tensors.remove("image_encoder.neck.1.bias");
    let error = AdaptedSam::dapsam(&tensors, &options).unwrap_err().to_string();
    for name in ["blocks.1.channel_adapter.D_fc2.bias", "temperature", "neck.1.bias"] {
        assert!(error.contains(name), "{error}");
    }
    // A plain SAM is no DAPSAM, and no file of updates.
    let error = AdaptedSam::dapsam(&sam(), &options).unwrap_err().to_string();
    assert!(error.contains("l_adapter"), "{error}");
    let error = AdaptedSam::lora(&sam(), &sam(), &options).unwrap_err().to_string();
    assert!(error.contains("w_a_000"), "{error}");
    let wrong = pixels(64).to_dtype(DType::F32).unwrap().narrow(3, 0, 32).unwrap();
    let start = AdaptedSam::dapsam_from_sam(&sam(), 1, 5, &options).unwrap();
    assert!(start.model.forward(&wrong).is_err());
}

#[test]
fn files_of_both_programs_are_read_and_non_finite_updates_refused() {
    let dir = tempfile::tempdir().unwrap();
    let written = |name: &str, tensors: &Tensors| {
        let path = dir.path().join(name);
        write(&path, tensors, &Default::default()).unwrap();
        Checkpoint::open(&path)
    };
    let options = AdaptedOptions::default();
    let start = AdaptedSam::dapsam_from_sam(&sam(), 1, 5, &options).unwrap();
    let file = written("dapsam.safetensors", &start.tensors).unwrap();
    // Programs that segment with prompts refuse it by name.
    assert!(file.expect_sam().unwrap_err().to_string().contains("DAPSAM"));
    let loaded = AdaptedSam::dapsam(&file.tensors, &options).unwrap();
    let [found, expected] = [&loaded, &start].map(|l| l.model.logits(&pixels(64)).unwrap());
    assert_eq!(values(&found), values(&expected));

    let sizes = LoraStart { classes: 1, rank: 2 };
    let mut tensors = AdaptedSam::lora_from_sam(&sam(), sizes, 5, &options).unwrap().tensors;
    tensors.retain(|name, _| !name.starts_with("image_encoder."));
    let file = written("lora.safetensors", &tensors).unwrap();
    AdaptedSam::lora(&sam(), &file.tensors, &options).unwrap();
    let nan = Tensor::full(f32::NAN, (2, 96), &Device::Cpu).unwrap();
    tensors.insert("w_a_001".into(), nan);
    let error = written("nan.safetensors", &tensors).unwrap_err().to_string();
    assert!(error.contains("w_a_001") && error.contains("NaN"), "{error}");
}
