//! Files whose record, encoder and decoder contradict each other.

use super::{Model, ModelInput, ModelRecord, Trainable, TrainableOptions};
use crate::Compute;
use desam_core::EncoderSpec;
use desam_data::preprocess::PreprocessConfig;
use desam_decoder::DecoderConfig;
use desam_encoder::{FrozenSam, VitConfig, checkpoint};
use desam_nn::params::{LoadOptions, Tensors, load};
use std::path::{Path, PathBuf};

/// A model of toy size whose decoder is for the encoder that `decoder` describes and whose record
/// speaks of `told`.
fn write(folder: &Path, decoder: &EncoderSpec, told: &EncoderSpec) -> PathBuf {
    let config = DecoderConfig::tiny(decoder);
    let decoder = load(Tensors::new(), &LoadOptions::seeded(2), |vb| config.build(vb)).unwrap();
    let mut tensors = FrozenSam::random(&vit(), 1).unwrap().tensors;
    tensors.extend(decoder.tensors);
    let input = ModelInput { spec: told.clone(), preprocess: PreprocessConfig::paper() };
    let metadata = ModelRecord::untrained("toy".into(), "0".into(), input).to_metadata().unwrap();
    let path = folder.join("model.safetensors");
    checkpoint::write(&path, &tensors, &metadata).unwrap();
    path
}

fn vit() -> VitConfig {
    VitConfig { input_side: 64, ..VitConfig::tiny() }
}

#[test]
fn encoder_record_and_decoder_have_to_be_of_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let own = vit().spec();
    let mut other = own.clone();
    other.tap_channels[1] += 8;

    Model::open(write(folder.path(), &own, &own), &Compute::cpu()).unwrap();
    let path = write(folder.path(), &own, &other);
    let error = Model::open(&path, &Compute::cpu()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors: its record says"), "{error}");
    let path = write(folder.path(), &other, &own);
    let error = Model::open(&path, &Compute::cpu()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors: its decoder reads taps"), "{error}");
    let error = Trainable::open(&path, &TrainableOptions::new(0)).unwrap_err().to_string();
    assert!(error.contains("model.safetensors: its decoder reads taps"), "{error}");
}

#[test]
fn an_error_in_the_frozen_half_does_not_name_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let own = vit().spec();
    let start = folder.path().join("start.safetensors");
    std::fs::rename(write(folder.path(), &own, &own), &start).unwrap();
    // Positions for another embedding than the prompt encoder's.
    let told = EncoderSpec { embedding_channels: own.embedding_channels + 8, ..own.clone() };
    let weights = write(folder.path(), &own, &told);
    let options = TrainableOptions::new(0).with_init(&start);
    let error = Trainable::open(&weights, &options).unwrap_err().to_string();
    assert!(error.contains("model.safetensors: "), "{error}");
    assert!(!error.contains("start.safetensors"), "{error}");
}
