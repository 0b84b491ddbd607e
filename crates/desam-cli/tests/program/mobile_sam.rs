//! A checkpoint of MobileSAM's shapes and names wherever a SAM is accepted.

use crate::common::{fixture, run};
use desam::candle::{DType, Device, Tensor};
use desam::decoder::{DecoderConfig, SamDecoder, Variant};
use desam::encoder::{PromptEncoderConfig, TinyVitConfig};
use desam::nn::params::{LoadOptions, Tensors, load};
use std::path::Path;

/// Random weights under the names of `mobile_sam.pt`, its counters of batches and unused classification
/// head included.
fn mobile_sam() -> Tensors {
    let config = TinyVitConfig::mobile_sam();
    let (spec, seeded) = (config.spec(), LoadOptions::seeded(5));
    let none = Tensors::new;
    let image = load(none(), &seeded, |vb| config.build(vb.pp("image_encoder"))).unwrap();
    let prompt = PromptEncoderConfig::for_encoder(&spec);
    let prompt = load(none(), &seeded, |vb| prompt.build(vb.pp("prompt_encoder"))).unwrap();
    let decoder = DecoderConfig { variant: Variant::SamDecoder, ..DecoderConfig::sam(&spec) };
    let decoder = load(none(), &seeded, |vb| SamDecoder::new(&decoder, vb.pp("mask_decoder")));
    let mut tensors = image.tensors;
    let norms: Vec<String> =
        tensors.keys().filter_map(|n| Some(n.strip_suffix(".running_var")?.to_owned())).collect();
    let ones = |shape: &[usize], dtype| Tensor::ones(shape, dtype, &Device::Cpu).unwrap();
    for norm in norms {
        tensors.insert(format!("{norm}.num_batches_tracked"), ones(&[], DType::I64));
    }
    for (name, shape) in [
        ("norm_head.weight", &[320][..]),
        ("norm_head.bias", &[320]),
        ("head.weight", &[1000, 320]),
        ("head.bias", &[1000]),
    ] {
        tensors.insert(format!("image_encoder.{name}"), ones(shape, DType::F32));
    }
    tensors.extend(prompt.tensors);
    tensors.extend(decoder.unwrap().tensors);
    tensors
}

fn saved(tensors: Tensors, path: &Path) {
    desam::candle::safetensors::save(&tensors.into_iter().collect(), path).unwrap();
}

#[test]
fn mobile_sam_is_described_embedded_trained_and_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let weights = at("mobile_sam.safetensors");
    saved(mobile_sam(), &weights);

    let said = run(args!["info", weights]).expect(0).stdout;
    for words in [
        "SAM: image encoder, prompt encoder and mask decoder",
        "1024 px in, patch 16, TinyViT, widths 64, 128, 160, 320, depths 2, 2, 6, 2",
        "taps of 160, 160, 160 and 256 channels, 64×64",
        "not used: the image encoder's classification head",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("problem"), "{said}");

    let (cache, out) = (at("cache"), at("run"));
    let embed = args![
        "embed",
        "-q",
        "--data",
        fixture().data,
        "--out",
        cache,
        "--encoder",
        weights,
        "--input-side",
        "128",
        "--slices",
        "all",
    ];
    run(embed).expect(0);
    let train = args![
        "train", "-q", "--cache", cache, "--source", "A", "--mode", "box", "--out", out,
        "--epochs", "1", "--split", "last",
    ];
    run(train).expect(0);
    let model = out.join("model.safetensors");
    let said = run(args!["info", model]).expect(0).stdout;
    assert!(said.contains("PRIM and PIMM") && said.contains("TinyViT"), "{said}");

    let volume = std::fs::read_dir(fixture().data.join("B")).unwrap().map(|e| e.unwrap().path());
    let volume = volume.min_by_key(|p| p.to_string_lossy().replace("_segmentation", "~")).unwrap();
    let mask = at("mask.nii.gz");
    run(args!["predict", "-q", "--model", model, "--input", volume, "--output", mask]).expect(0);
    assert!(mask.is_file());
}

#[test]
fn a_mobile_sam_with_a_parameter_too_few_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = mobile_sam();
    let name = "image_encoder.layers.2.blocks.3.local_conv.bn.running_mean";
    tensors.remove(name).unwrap();
    let path = folder.path().join("short.safetensors");
    saved(tensors, &path);
    let cache = folder.path().join("cache");
    let embed = args![
        "embed",
        "-q",
        "--data",
        fixture().data,
        "--out",
        cache,
        "--encoder",
        path,
        "--input-side",
        "128",
    ];
    run(embed).fails_with(&["short.safetensors", name]);
}
