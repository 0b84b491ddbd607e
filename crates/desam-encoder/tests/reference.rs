//! Against what the official program computes (PyTorch, f32, CPU); skipped where the reference
//! vectors are not next to the checkout. Sizes are read from the files.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod common;

use candle_core::{Device, Tensor};
use common::exact;
use desam_core::{ImageEncoder, Point, PointLabel, Prompt, PromptBox, PromptEncoder, Prompts};
use desam_encoder::{Checkpoint, FrozenSam, SamOptions, VitConfig};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Both programs sum thousands of f32 products in different orders.
const TOLERANCE: f64 = 2e-5;

/// The reference vectors next to the checkout, or `None` with a message where there are none.
fn reference(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/tiny");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("{test}: skipped, there are no reference vectors at {}", folder.display());
    None
}

/// ‖found − expected‖ / ‖expected‖.
fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (found, expected) = (flat(found), flat(expected));
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let off = norm(&mut found.iter().zip(&expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    off / norm(&mut expected.iter().map(|v| f64::from(*v)))
}

fn vectors(folder: &Path, name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(folder.join(name), &Device::Cpu).unwrap()
}

fn frozen(folder: &Path, file: &str) -> FrozenSam {
    let checkpoint = Checkpoint::open(folder.join(file)).unwrap();
    let loaded = FrozenSam::load(&checkpoint, &SamOptions::default()).unwrap();
    loaded.report.check().unwrap();
    assert!(loaded.report.initialised.is_empty());
    loaded.sam
}

#[test]
fn features_are_the_official_programs() {
    let Some(folder) = reference("features") else {
        return;
    };
    let sam = frozen(&folder, "init.pth");
    let expected = vectors(&folder, "encoder.safetensors");
    let features = sam.image.encode(&expected["pixels"]).unwrap();
    let taps = expected.keys().filter(|k| k.starts_with("tap")).count();
    assert_eq!(features.taps.len(), taps);
    for (i, tap) in features.taps.iter().enumerate() {
        let error = relative(tap, &expected[&format!("tap{i}")]);
        println!("tap{i}: {error:.2e}");
        assert!(error <= TOLERANCE, "tap{i}: {error}");
    }
    let error = relative(&features.embedding, &expected["embedding"]);
    println!("embedding: {error:.2e}");
    assert!(error <= TOLERANCE, "embedding: {error}");
}

#[test]
fn prompts_are_embedded_as_in_the_official_program() {
    let Some(folder) = reference("prompts") else {
        return;
    };
    let sam = frozen(&folder, "trained.pth");
    let expected = vectors(&folder, "prompt_encoder.safetensors");
    let coordinates = expected["points"].to_vec3::<f32>().unwrap();
    let labels = expected["labels"].to_vec2::<i64>().unwrap();
    let corners = expected["boxes"].to_vec2::<f32>().unwrap();
    let points = |i: usize| -> Vec<Point> {
        let label = |l: i64| match l {
            1 => PointLabel::Foreground,
            0 => PointLabel::Background,
            _ => PointLabel::Padding,
        };
        let both = coordinates[i].iter().zip(&labels[i]);
        both.map(|(p, l)| Point { x: p[0], y: p[1], label: label(*l) }).collect()
    };
    let bbox = |i: usize| {
        let c = &corners[i];
        Some(PromptBox { x0: c[0], y0: c[1], x1: c[2], y1: c[3] })
    };
    let prompts = |points_too: bool, boxes_too: bool| {
        let prompt = |i| Prompt {
            points: if points_too { points(i) } else { vec![] },
            bbox: if boxes_too { bbox(i) } else { None },
        };
        Prompts::new((0..corners.len()).map(prompt).collect()).unwrap()
    };
    let masks = expected["mask_input"].clone();
    let cases = [
        ("points", prompts(true, false)),
        ("boxes", prompts(false, true)),
        ("points_boxes", prompts(true, true)),
        ("points_masks", prompts(true, false).with_masks(masks.clone()).unwrap()),
        ("masks", Prompts::masks(masks).unwrap()),
    ];
    for (name, prompts) in cases {
        let found = sam.prompt.encode(&prompts).unwrap();
        let dense = relative(&found.dense, &expected[&format!("{name}.dense")]);
        println!("{name}.dense: {dense:.2e}");
        assert!(dense <= TOLERANCE, "{name}.dense: {dense}");
        match expected.get(&format!("{name}.sparse")) {
            Some(sparse) => {
                let error = relative(&found.sparse, sparse);
                println!("{name}.sparse: {error:.2e}");
                assert!(error <= TOLERANCE, "{name}.sparse: {error}");
            }
            // An empty tensor cannot be stored: masks alone have no tokens.
            None => assert_eq!(found.sparse.dim(1).unwrap(), 0, "{name}"),
        }
    }
    let error = relative(sam.prompt.dense_pe(), &expected["dense_pe"]);
    println!("dense_pe: {error:.2e}");
    assert!(error <= TOLERANCE, "dense_pe: {error}");
}

#[test]
fn the_configuration_is_inferred_from_the_shapes() {
    let Some(folder) = reference("configuration") else {
        return;
    };
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let size = |key: &str| json["config"][key].as_u64().unwrap() as usize;
    let blocks = json["config"]["glob"].as_array().unwrap();
    let expected = VitConfig {
        input_side: size("img"),
        patch: size("patch"),
        width: size("dim"),
        depth: size("depth"),
        heads: size("heads"),
        // SAM's mlp_ratio.
        mlp_width: 4 * size("dim"),
        window: size("window"),
        global_blocks: blocks.iter().map(|b| b.as_u64().unwrap() as usize).collect(),
        embedding_channels: size("out"),
    };
    for file in ["init.pth", "trained.pth", "trained.safetensors"] {
        let summary = Checkpoint::open(folder.join(file)).unwrap().summary();
        assert_eq!(summary.image_encoder_config, Some(expected.clone().into()), "{file}");
        assert!(summary.problems.is_empty() && summary.unknown.is_empty(), "{summary:?}");
        assert!(summary.describe().starts_with("DeSAM"), "{}", summary.describe());
        let spec = expected.spec();
        assert_eq!(spec.tap_channels.len(), size("taps"));
        let count = summary.image_encoder.unwrap().parameters;
        assert_eq!(count, expected.parameter_count().unwrap());
    }
}

#[test]
fn pth_and_safetensors_hold_the_same_tensors() {
    let Some(folder) = reference("formats") else {
        return;
    };
    let pth = Checkpoint::open(folder.join("trained.pth")).unwrap();
    let safetensors = Checkpoint::open(folder.join("trained.safetensors")).unwrap();
    assert!(pth.tensors.keys().eq(safetensors.tensors.keys()));
    for (name, tensor) in &pth.tensors {
        assert_eq!(exact(tensor), exact(&safetensors.tensors[name]), "{name}");
    }
    let hash = |c: &Checkpoint, p: &[&str]| c.weights_hash(p).unwrap();
    let encoders = ["image_encoder.", "prompt_encoder."];
    assert_eq!(hash(&pth, &[]), hash(&safetensors, &[]));
    let init = Checkpoint::open(folder.join("init.pth")).unwrap();
    // Training left the frozen half alone.
    assert_eq!(hash(&pth, &encoders), hash(&init, &encoders));
    assert_ne!(hash(&pth, &[]), hash(&init, &[]));
}

#[test]
fn a_damaged_pth_is_refused() {
    let Some(folder) = reference("damage") else {
        return;
    };
    let whole = std::fs::read(folder.join("init.pth")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.pth");
    for part in [1, 3, 7, 9] {
        std::fs::write(&path, &whole[..whole.len() * part / 10]).unwrap();
        let error = Checkpoint::open(&path).unwrap_err().to_string();
        assert!(error.contains("damaged.pth"), "{error}");
    }
    // A flipped bit in the middle of the weights: the zip's checksum finds it.
    let mut flipped = whole;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    std::fs::write(&path, &flipped).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("damaged.pth"), "{error}");
}
