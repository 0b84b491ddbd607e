//! Checkpoints that the tests make themselves.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use candle_core::{Device, Tensor};
use common::exact;
use desam_core::ImageEncoder;
use desam_encoder::checkpoint::{KeyLayout, weights_hash, write};
use desam_encoder::{Checkpoint, FrozenSam, SamOptions, VitConfig};
use desam_nn::params::Tensors;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

fn small() -> VitConfig {
    VitConfig {
        input_side: 64,
        width: 16,
        depth: 3,
        heads: 2,
        mlp_width: 32,
        window: 3,
        global_blocks: vec![0, 2],
        embedding_channels: 8,
        ..VitConfig::tiny()
    }
}

/// The names of SAM's mask decoder with small shapes, as the official program spells them.
fn mask_decoder() -> Tensors {
    let mut names: Vec<String> = vec!["iou_token.weight".into(), "mask_tokens.weight".into()];
    let mut layer = |name: String| names.extend(["weight", "bias"].map(|p| format!("{name}.{p}")));
    for i in 0..2 {
        for norm in 1..5 {
            layer(format!("transformer.layers.{i}.norm{norm}"));
        }
        for attention in ["self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"] {
            for map in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                layer(format!("transformer.layers.{i}.{attention}.{map}"));
            }
        }
        layer(format!("transformer.layers.{i}.mlp.lin1"));
        layer(format!("transformer.layers.{i}.mlp.lin2"));
    }
    for map in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        layer(format!("transformer.final_attn_token_to_image.{map}"));
    }
    layer("transformer.norm_final_attn".into());
    for i in [0, 1, 3] {
        layer(format!("output_upscaling.{i}"));
    }
    for i in 0..3 {
        layer(format!("iou_prediction_head.layers.{i}"));
        for mlp in 0..4 {
            layer(format!("output_hypernetworks_mlps.{mlp}.layers.{i}"));
        }
    }
    let numbered = names.into_iter().enumerate().map(|(i, name)| {
        let tensor = Tensor::new(&[i as f32, -(i as f32)], &Device::Cpu).unwrap();
        (format!("mask_decoder.{name}"), tensor)
    });
    numbered.collect()
}

fn whole_sam() -> Tensors {
    let mut tensors = FrozenSam::random(&small(), 7).unwrap().tensors;
    tensors.extend(mask_decoder());
    tensors
}

/// Official name → transformers' name, written down here from `modeling_sam.py`'s modules and
/// `convert_sam_to_hf.py`, piece by piece, independently of the table under test.
fn to_transformers(name: &str) -> Vec<String> {
    if name == "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix" {
        return vec![
            "shared_image_embedding.positional_embedding".into(),
            "prompt_encoder.shared_embedding.positional_embedding".into(),
        ];
    }
    let mut name = name.to_owned();
    let pairs: &[(&str, &str)] = match name.split('.').next() {
        Some("image_encoder") => &[
            ("image_encoder.", "vision_encoder."),
            (".patch_embed.proj.", ".patch_embed.projection."),
            (".blocks.", ".layers."),
            (".norm1.", ".layer_norm1."),
            (".norm2.", ".layer_norm2."),
            (".neck.0.", ".neck.conv1."),
            (".neck.1.", ".neck.layer_norm1."),
            (".neck.2.", ".neck.conv2."),
            (".neck.3.", ".neck.layer_norm2."),
        ],
        Some("prompt_encoder") => &[
            (".point_embeddings.", ".point_embed."),
            (".mask_downscaling.0.", ".mask_embed.conv1."),
            (".mask_downscaling.1.", ".mask_embed.layer_norm1."),
            (".mask_downscaling.3.", ".mask_embed.conv2."),
            (".mask_downscaling.4.", ".mask_embed.layer_norm2."),
            (".mask_downscaling.6.", ".mask_embed.conv3."),
        ],
        _ => &[
            (".norm1.", ".layer_norm1."),
            (".norm2.", ".layer_norm2."),
            (".norm3.", ".layer_norm3."),
            (".norm4.", ".layer_norm4."),
            (".norm_final_attn.", ".layer_norm_final_attn."),
            (".output_upscaling.0.", ".upscale_conv1."),
            (".output_upscaling.1.", ".upscale_layer_norm."),
            (".output_upscaling.3.", ".upscale_conv2."),
        ],
    };
    for (official, transformers) in pairs {
        name = name.replace(official, transformers);
    }
    if name.contains("iou_prediction_head") || name.contains("output_hypernetworks_mlps") {
        name = name
            .replace(".layers.0.", ".proj_in.")
            .replace(".layers.1.", ".layers.0.")
            .replace(".layers.2.", ".proj_out.");
    }
    vec![name]
}

struct Files {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn saved(name: &str, tensors: &Tensors) -> Files {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    write(&path, tensors, &BTreeMap::new()).unwrap();
    Files { _dir: dir, path }
}

#[test]
fn the_transformers_layout_is_translated_to_official_names() {
    let official = whole_sam();
    let mut renamed = Tensors::new();
    for (name, tensor) in &official {
        for name in to_transformers(name) {
            assert!(renamed.insert(name, tensor.clone()).is_none());
        }
    }
    assert!(renamed.contains_key("vision_encoder.layers.1.attn.rel_pos_h"));
    assert!(renamed.contains_key("mask_decoder.iou_prediction_head.proj_out.bias"));
    let (ours, theirs) = (saved("a.safetensors", &official), saved("b.safetensors", &renamed));
    let (ours, theirs) =
        (Checkpoint::open(ours.path).unwrap(), Checkpoint::open(theirs.path).unwrap());
    assert_eq!((ours.layout, theirs.layout), (KeyLayout::Original, KeyLayout::Transformers));
    let names = |c: &Checkpoint| c.tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for (name, tensor) in &official {
        assert_eq!(exact(tensor), exact(&theirs.tensors[name]), "{name}");
    }
    assert_eq!(ours.weights_hash(&[]).unwrap(), theirs.weights_hash(&[]).unwrap());
    let summary = theirs.summary();
    assert_eq!(summary.image_encoder_config, Some(small().into()));
    assert!(summary.describe().starts_with("SAM:"), "{summary:?}");
    assert!(summary.unknown.is_empty() && summary.pimm.is_none());
}

#[test]
fn random_encoders_are_saved_and_loaded_with_the_same_features() {
    let made = FrozenSam::random(&small(), 3).unwrap();
    assert_eq!(made.report.initialised.len(), made.tensors.len());
    let file = saved("random.safetensors", &made.tensors);
    let checkpoint = Checkpoint::open(&file.path).unwrap();
    let read = FrozenSam::load(&checkpoint, &SamOptions::default()).unwrap();
    read.report.check().unwrap();
    let pixels = Tensor::arange(0f32, (3 * 64 * 64) as f32, &Device::Cpu).unwrap();
    let pixels = (pixels.reshape((1, 3, 64, 64)).unwrap() / 6000.0).unwrap();
    let features = |sam: &FrozenSam| exact(&sam.image.encode(&pixels).unwrap().embedding);
    assert_eq!(features(&made.sam), features(&read.sam));
    assert_eq!(weights_hash(&made.tensors, &[]).unwrap(), checkpoint.weights_hash(&[]).unwrap());
    let again = FrozenSam::random(&small(), 3).unwrap();
    let other = FrozenSam::random(&small(), 4).unwrap();
    assert_eq!(features(&made.sam), features(&again.sam));
    assert_ne!(features(&made.sam), features(&other.sam));
}

#[test]
fn random_encoders_are_distributed_as_the_reference_initial_checkpoint() {
    let tensors = FrozenSam::random(&VitConfig::tiny(), 1).unwrap().tensors;
    let moments = |name: &str| {
        let v = tensors[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let n = v.len() as f32;
        let mean = v.iter().sum::<f32>() / n;
        (mean, (v.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt())
    };
    // Mean and deviation measured on the reference initial checkpoint; the last number is four
    // standard errors of the deviation for as many draws.
    for (name, mean, stdev, slack) in [
        ("image_encoder.pos_embed", 0.0, 0.200, 0.004),
        ("image_encoder.blocks.1.attn.rel_pos_w", 0.0, 0.200, 0.021),
        ("image_encoder.blocks.0.attn.qkv.weight", 0.0, 0.0589, 0.001),
        ("image_encoder.blocks.0.mlp.lin1.bias", 0.0, 0.050, 0.0073),
        ("image_encoder.blocks.0.norm1.weight", 1.0, 0.100, 0.029),
        ("prompt_encoder.no_mask_embed.weight", 0.0, 1.0, 0.36),
    ] {
        let found = moments(name);
        assert!((found.0 - mean).abs() < 1.5 * slack, "{name}: {found:?}");
        assert!((found.1 - stdev).abs() < slack, "{name}: {found:?}");
    }
}

#[test]
fn missing_unexpected_and_misshapen_parameters_are_all_named_at_once() {
    let mut tensors = whole_sam();
    tensors.remove("image_encoder.neck.1.bias");
    tensors.remove("prompt_encoder.no_mask_embed.weight");
    let odd = Tensor::new(&[1f32], &Device::Cpu).unwrap();
    tensors.insert("image_encoder.extra".into(), odd.clone());
    tensors.insert("image_encoder.blocks.1.norm2.weight".into(), odd);
    let file = saved("odd.safetensors", &tensors);
    let checkpoint = Checkpoint::open(&file.path).unwrap();
    let report = FrozenSam::load(&checkpoint, &SamOptions::default()).unwrap().report;
    let text = report.check().unwrap_err().to_string();
    for name in [
        "image_encoder.neck.1.bias",
        "prompt_encoder.no_mask_embed.weight",
        "image_encoder.extra",
        "image_encoder.blocks.1.norm2.weight",
    ] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn a_checkpoint_without_an_image_encoder_says_what_is_missing() {
    let file = saved("decoder.safetensors", &mask_decoder());
    let checkpoint = Checkpoint::open(&file.path).unwrap();
    let error = FrozenSam::load(&checkpoint, &SamOptions::default()).unwrap_err().to_string();
    assert!(error.contains("image_encoder.patch_embed.proj.weight is missing"), "{error}");
    assert_eq!(checkpoint.summary().describe(), "SAM's mask decoder, without the encoders");
}

#[test]
fn another_input_side_reaches_both_encoders() {
    let file = saved("sam.safetensors", &whole_sam());
    let checkpoint = Checkpoint::open(&file.path).unwrap();
    let options = SamOptions { input_side: Some(96), ..SamOptions::default() };
    let sam = FrozenSam::load(&checkpoint, &options).unwrap().sam;
    assert_eq!(sam.image.spec().grid(), 6);
    assert_eq!((sam.prompt.config().grid, sam.prompt.config().input_side), (6, 96));
    let odd = SamOptions { input_side: Some(100), ..options };
    let error = FrozenSam::load(&checkpoint, &odd).unwrap_err().to_string();
    assert!(error.contains("112 would be"), "{error}");
}

#[test]
fn integer_tensors_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ints.safetensors");
    let ints = Tensor::new(&[1i64, 2], &Device::Cpu).unwrap();
    candle_core::safetensors::save(&[("steps".to_string(), ints)].into(), &path).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("steps") && error.contains("I64"), "{error}");
}

#[test]
fn f16_bf16_and_f64_become_f32() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mixed.safetensors");
    let x = Tensor::new(&[0.5f32, -3.0, 1.25], &Device::Cpu).unwrap();
    let types = [candle_core::DType::F16, candle_core::DType::BF16, candle_core::DType::F64];
    let each = types.map(|t| (format!("{t:?}"), x.to_dtype(t).unwrap()));
    candle_core::safetensors::save(&each.into_iter().collect(), &path).unwrap();
    let read = Checkpoint::open(&path).unwrap();
    assert_eq!(read.tensors.len(), 3);
    assert!(read.tensors.values().all(|t| exact(t) == exact(&x)));
}

/// A pickle as `torch.save` writes it (protocol 2): a state dict of tensor `name`, `[2, 3]`, with
/// the given strides and storage class, wrapped in `{"model": …, "epoch": 3}` or not. Opcodes from
/// the documentation of Python's `pickletools`.
fn pickle(name: &str, class: &str, stride: [u8; 2], wrapped: bool) -> Vec<u8> {
    let text = |s: &str| [&b"X"[..], &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat();
    let mut p = b"\x80\x02".to_vec();
    if wrapped {
        p.extend(b"}(");
        p.extend(text("epoch"));
        p.extend(b"K\x03");
        p.extend(text("model"));
    }
    p.extend(b"ccollections\nOrderedDict\n)R(");
    p.extend(text(name));
    p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    p.extend(text("storage"));
    p.extend(format!("ctorch\n{class}\n").bytes());
    p.extend(text("0"));
    p.extend(text("cpu"));
    p.extend(b"K\x06tQK\x00K\x02K\x03\x86");
    p.extend([b'K', stride[0], b'K', stride[1], 0x86, 0x89]);
    p.extend(b"ccollections\nOrderedDict\n)RtRu");
    if wrapped {
        p.push(b'u');
    }
    p.push(b'.');
    p
}

fn torch_file(pickle: &[u8], storage: &[u8]) -> Files {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made.pth");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("made/data.pkl", pickle), ("made/data/0", storage)] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    Files { _dir: dir, path }
}

#[test]
fn wrapped_prefixed_and_transposed_state_dicts_are_loaded() {
    let storage: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    for wrapped in [false, true] {
        let p = pickle("module.image_encoder.x", "FloatStorage", [3, 1], wrapped);
        let file = torch_file(&p, &storage);
        let read = Checkpoint::open(&file.path).unwrap();
        let rows = read.tensors["image_encoder.x"].to_vec2::<f32>().unwrap();
        assert_eq!(rows, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
    }
    let p = pickle("image_encoder.x", "FloatStorage", [1, 2], false);
    let read = Checkpoint::open(&torch_file(&p, &storage).path).unwrap();
    let rows = read.tensors["image_encoder.x"].to_vec2::<f32>().unwrap();
    assert_eq!(rows, [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]);
}

#[test]
fn malformed_state_dicts_are_refused_with_a_reason() {
    let storage = [0u8; 24];
    let message = |pickle: &[u8], storage: &[u8]| {
        let file = torch_file(pickle, storage);
        Checkpoint::open(&file.path).unwrap_err().to_string()
    };
    let ints = message(&pickle("steps", "LongStorage", [3, 1], false), &storage);
    assert!(ints.contains("steps") && ints.contains("Long"), "{ints}");
    let beyond = message(&pickle("x", "FloatStorage", [9, 1], false), &storage);
    assert!(beyond.contains("does not fit its storage"), "{beyond}");
    let short = message(&pickle("x", "FloatStorage", [3, 1], false), &storage[..8]);
    assert!(short.contains("does not fit its storage"), "{short}");
    let other = message(b"\x80\x02}(X\x03\0\0\0optK\x01u.", &storage);
    assert!(other.contains("its keys are [\"opt\"]"), "{other}");
    let number = message(b"\x80\x02K\x01.", &storage);
    assert!(number.contains("state dict"), "{number}");
    for broken in [&b"\x80\x02"[..], b"\x80\x02}u.", b"\x80\x02(((t", b"\x80\x02R."] {
        let error = message(broken, &storage);
        assert!(error.contains("made.pth"), "{error}");
    }
}

/// Every byte of a pickle replaced by opcodes and extremes, in a zip whose checksums are right: the
/// reader says yes or no, and never panics or asks for memory that the file does not have.
#[test]
fn changed_pickles_never_panic() {
    let storage: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let whole = pickle("image_encoder.x", "FloatStorage", [3, 1], true);
    let (mut read, mut refused) = (0, 0);
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0xff, b'.', b'(', b't', b'R', b'K', 0x8a] {
            let mut changed = whole.clone();
            changed[at] = byte;
            match Checkpoint::open(&torch_file(&changed, &storage).path) {
                Ok(c) if c.tensors.values().all(|t| t.elem_count() <= 6) => read += 1,
                Ok(c) => panic!("{at} {byte}: {:?}", c.tensors),
                Err(_) => refused += 1,
            }
        }
    }
    // Most changes hit a name or break the structure; both kinds must have been met.
    assert!(read > 100 && refused > 100, "{read} {refused}");
}
