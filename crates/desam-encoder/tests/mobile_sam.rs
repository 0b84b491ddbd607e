//! Checkpoints over a TinyViT, under MobileSAM's names.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use candle_core::{DType, Device, Tensor};
use common::exact;
use desam_core::ImageEncoder;
use desam_encoder::checkpoint::write;
use desam_encoder::{
    Checkpoint, FrozenSam, PromptEncoderConfig, SamImageConfig, SamImageEncoder, SamOptions,
    TinyVitConfig, VitConfig,
};
use desam_nn::params::{LoadOptions, Tensors, load};
use std::collections::BTreeMap;

fn small() -> TinyVitConfig {
    TinyVitConfig {
        input_side: 1024,
        widths: [4, 6, 8, 10],
        depths: [1, 1, 3, 1],
        heads: [2, 4, 5],
        windows: [3, 5, 3],
        embedding_channels: 8,
    }
}

/// Both encoders, and the names in the official file that are not read.
fn mobile_sam() -> Tensors {
    let (config, seeded) = (small(), LoadOptions::seeded(4));
    let image = load(Tensors::new(), &seeded, |vb| config.build(vb.pp("image_encoder"))).unwrap();
    let prompt = PromptEncoderConfig::for_encoder(&config.spec());
    let prompt = load(Tensors::new(), &seeded, |vb| prompt.build(vb.pp("prompt_encoder"))).unwrap();
    let mut tensors = image.tensors;
    tensors.extend(prompt.tensors);
    for name in ["norm_head.weight", "norm_head.bias", "head.weight", "head.bias"] {
        let one = Tensor::ones(10, DType::F32, &Device::Cpu).unwrap();
        tensors.insert(format!("image_encoder.{name}"), one);
    }
    let count = Tensor::new(0i64, &Device::Cpu).unwrap();
    tensors.insert("image_encoder.patch_embed.seq.0.bn.num_batches_tracked".into(), count);
    tensors
}

/// Opens the tensors as a file.
fn opened(tensors: Tensors) -> Checkpoint {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mobile_sam.safetensors");
    candle_core::safetensors::save(&tensors.into_iter().collect(), &path).unwrap();
    Checkpoint::open(&path).unwrap()
}

fn side(input_side: usize) -> SamOptions {
    SamOptions { input_side: Some(input_side), ..SamOptions::default() }
}

#[test]
fn both_encoders_are_loaded_at_any_side() {
    let checkpoint = opened(mobile_sam());
    let loaded = FrozenSam::load(&checkpoint, &side(96)).unwrap();
    loaded.report.check().unwrap();
    let sam = loaded.sam;
    assert!(matches!(sam.image, SamImageEncoder::TinyVit(_)) && sam.image.vit().is_none());
    assert_eq!((sam.prompt.config().grid, sam.prompt.config().input_side), (6, 96));
    let pixels = Tensor::full(0.25f32, (1, 3, 96, 96), &Device::Cpu).unwrap();
    let features = sam.image.encode(&pixels).unwrap();
    assert_eq!(features.embedding.dims(), [1, 8, 6, 6]);
    assert!(features.taps.iter().all(|tap| tap.dims() == [1, 8, 6, 6]));
    // Without a side it is MobileSAM's.
    let sam = FrozenSam::load(&checkpoint, &SamOptions::default()).unwrap().sam;
    assert_eq!(sam.image.spec().input_side, 1024);
    let error = FrozenSam::load(&checkpoint, &side(100)).unwrap_err().to_string();
    assert!(error.contains("112 would be"), "{error}");
}

#[test]
fn the_summary_names_what_is_not_read() {
    let checkpoint = opened(mobile_sam());
    let summary = checkpoint.summary();
    assert_eq!(summary.image_encoder_config, Some(SamImageConfig::TinyVit(small())));
    assert!(summary.describe().starts_with("SAM's two encoders"), "{}", summary.describe());
    assert!(summary.problems.is_empty() && summary.unknown.is_empty(), "{summary:?}");
    let notes = summary.notes.join("; ");
    assert!(notes.contains("classification head") && notes.contains("1 counters"), "{notes}");
    assert!(!checkpoint.tensors.contains_key("image_encoder.head.weight"));
}

#[test]
fn weights_that_were_written_give_the_same_features() {
    let read = opened(mobile_sam());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("again.safetensors");
    write(&path, &read.tensors, &BTreeMap::new()).unwrap();
    let again = Checkpoint::open(&path).unwrap();
    let pixels = Tensor::full(-0.5f32, (1, 3, 48, 48), &Device::Cpu).unwrap();
    let embedding = |checkpoint: &Checkpoint| {
        let sam = FrozenSam::load(checkpoint, &side(48)).unwrap().sam;
        exact(&sam.image.encode(&pixels).unwrap().embedding)
    };
    assert_eq!(embedding(&read), embedding(&again));
}

#[test]
fn missing_and_unexpected_parameters_are_named() {
    let mut tensors = mobile_sam();
    tensors.remove("image_encoder.layers.1.blocks.0.local_conv.bn.bias").unwrap();
    let odd = Tensor::ones(1, DType::F32, &Device::Cpu).unwrap();
    tensors.insert("image_encoder.layers.0.extra".into(), odd);
    let report = FrozenSam::load(&opened(tensors), &side(64)).unwrap().report;
    let text = report.check().unwrap_err().to_string();
    assert!(text.contains("local_conv.bn.bias") && text.contains("layers.0.extra"), "{text}");
}

#[test]
fn a_vit_is_not_inferred_from_it() {
    let error = VitConfig::from_tensors(&mobile_sam()).unwrap_err().to_string();
    assert!(error.contains("TinyViT") && error.contains("ViT-B"), "{error}");
}

#[test]
fn a_head_of_sams_vit_is_still_unexpected() {
    let sam = FrozenSam::random(&VitConfig { input_side: 64, ..VitConfig::tiny() }, 1).unwrap();
    let mut tensors = sam.tensors;
    let odd = Tensor::ones(1, DType::F32, &Device::Cpu).unwrap();
    tensors.insert("image_encoder.head.weight".into(), odd);
    let report = FrozenSam::load(&opened(tensors), &SamOptions::default()).unwrap().report;
    assert!(report.check().unwrap_err().to_string().contains("image_encoder.head.weight"));
}
