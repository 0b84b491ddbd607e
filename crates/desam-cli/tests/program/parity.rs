//! `desam parity` on the reference vectors, where they are beside the checkout, and on folders that
//! are damaged.

use crate::common::run;
use desam::candle::{DType, Device, Tensor};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The reference vectors beside the checkout, or `None`, said aloud, where there are none.
#[allow(clippy::print_stderr, reason = "a test says that it was skipped")]
fn reference(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/tiny");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("{test}: skipped, there are no reference vectors at {}", folder.display());
    None
}

/// A folder with copies of some of the reference's files.
fn copies(from: &Path, names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        // The bytes alone: the original may be read-only.
        std::fs::write(dir.path().join(name), std::fs::read(from.join(name)).unwrap()).unwrap();
    }
    dir
}

/// Adds 0.5 to the first number of a tensor, or 7 where it is a whole one.
fn perturb(file: &Path, name: &str) {
    let mut tensors: HashMap<String, Tensor> =
        desam::candle::safetensors::load(file, &Device::Cpu).unwrap();
    let tensor = &tensors[name];
    let mut values: Vec<f64> =
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    values[0] += if tensor.dtype().is_float() { 0.5 } else { 7.0 };
    let changed = Tensor::from_vec(values, tensor.dims(), &Device::Cpu).unwrap();
    let changed = changed.to_dtype(tensor.dtype()).unwrap();
    tensors.insert(name.to_owned(), changed);
    desam::candle::safetensors::save(&tensors, file).unwrap();
}

/// `config.json` with paths that hold wherever it is copied to.
fn config(from: &Path) -> Value {
    let text = std::fs::read_to_string(from.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    for key in ["image", "label"] {
        let path = from.join(config["preprocess"][key].as_str().unwrap());
        config["preprocess"][key] = path.to_str().unwrap().into();
    }
    config
}

#[test]
fn every_stage_is_the_official_programs() {
    let Some(folder) = reference("parity") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let json = out.path().join("parity.json");
    let ended = run(args!["parity", folder, "--json", json]).expect(0);
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let names: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    for group in [
        "config.json",
        "tap0",
        "embedding",
        "prompt points_masks.dense",
        "prompt dense_pe",
        "decoder boxes.mask_embedding",
        "decoder points.mask",
        "decoder points_masks.iou_all",
        "f16 features",
        "loss dice",
        "step 0 bce",
        "gradients,",
        "steps of Adam",
        "grid 1×1",
        "grid 9×9 first mask",
        "metric recall",
    ] {
        assert!(names.iter().any(|n| n.starts_with(group)), "{group} is not among {names:?}");
        assert!(ended.stdout.contains(group), "{}", ended.stdout);
    }
    assert!(report["stages"].as_array().unwrap().iter().all(|s| s["passed"] == true));
    // One gradient for each `grad0.*` of the reference, both distances shown.
    let gradients = report["gradients"].as_array().unwrap();
    let exact =
        desam::candle::safetensors::load(folder.join("train_f64.safetensors"), &Device::Cpu);
    let count = exact.unwrap().keys().filter(|k| k.starts_with("grad0.")).count();
    assert_eq!(gradients.len(), count);
    assert!(gradients.iter().all(|g| g["ours"].is_number() && g["pytorch"].is_number()));
    assert!(ended.stdout.contains("not checked: surface distances"), "{}", ended.stdout);
}

#[test]
fn one_changed_number_in_any_file_fails() {
    let Some(folder) = reference("parity, perturbed") else {
        return;
    };
    let train = &["init.pth", "train.safetensors", "train_f64.safetensors", "encoder.safetensors"];
    let cases: [(&str, &str, &[&str]); 13] = [
        ("encoder.safetensors", "embedding", &["init.pth"]),
        ("encoder.safetensors", "pixels", &["init.pth"]),
        ("prompt_encoder.safetensors", "boxes.sparse", &["init.pth"]),
        (
            "decoder.safetensors",
            "points.mask",
            &["trained.pth", "prompt_encoder.safetensors", "train.safetensors"],
        ),
        ("losses.safetensors", "0.logits", &["losses.json"]),
        ("train.safetensors", "mask0", train),
        ("train.safetensors", "param4.iou_token.weight", train),
        ("train_f64.safetensors", "grad0.mask_tokens.weight", train),
        ("train_f64.safetensors", "delta4.iou_token.weight", train),
        (
            "grid.safetensors",
            "side5.image0.points",
            &["grid.json", "trained.pth", "train.safetensors"],
        ),
        ("preprocess.safetensors", "volume_u8", &[]),
        ("metrics.safetensors", "case0.pred", &["metrics.json"]),
        (
            "trained.safetensors",
            "mask_decoder.iou_token.weight",
            &["trained.pth", "losses.safetensors", "losses.json"],
        ),
    ];
    let config = config(&folder);
    for (file, tensor, others) in cases {
        if file.starts_with("preprocess")
            && !Path::new(config["preprocess"]["image"].as_str().unwrap()).is_file()
        {
            eprintln!("{file}: skipped, there is no volume");
            continue;
        }
        let dir = copies(&folder, others);
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let path = dir.path().join(file);
        std::fs::write(&path, std::fs::read(folder.join(file)).unwrap()).unwrap();
        perturb(&path, tensor);
        let ended = run(args!["parity", dir.path(), "-q", "--json"]);
        let ended = ended.fails_with(&["exceeds its limit"]);
        assert_eq!(ended.json()["passed"], false, "{file}: {tensor}");
    }
}

#[test]
fn a_configuration_of_another_model_fails() {
    let Some(folder) = reference("parity, configuration") else {
        return;
    };
    let dir = copies(&folder, &["init.pth", "losses.safetensors", "losses.json"]);
    let mut config = config(&folder);
    config["config"]["depth"] = 9.into();
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let ended = run(args!["parity", dir.path()]).fails_with(&["config.json against the shapes"]);
    assert!(ended.stdout.contains("depth is 9, the checkpoint has 8"), "{}", ended.stdout);
    // What the folder lacks is listed.
    assert!(ended.stdout.contains("not checked: training: needs"), "{}", ended.stdout);
}

#[test]
fn damaged_files_and_empty_folders_are_named() {
    let empty = tempfile::tempdir().unwrap();
    run(args!["parity", empty.path()]).fails_with(&["nothing to check"]);
    let metrics = empty.path().join("metrics.safetensors");
    std::fs::write(&metrics, b"no tensors").unwrap();
    std::fs::write(empty.path().join("metrics.json"), "[]").unwrap();
    run(args!["parity", empty.path()]).fails_with(&["metrics.safetensors"]);
    // A tensor that the list of cases speaks of and the file lacks.
    let tensor = Tensor::zeros((1, 2, 2), DType::U8, &Device::Cpu).unwrap();
    let tensors = HashMap::from([("case0.pred".to_owned(), tensor)]);
    desam::candle::safetensors::save(&tensors, &metrics).unwrap();
    let case = r#"[{"case": 0, "dice": 1, "jaccard": 1, "precision": 1, "recall": 1}]"#;
    std::fs::write(empty.path().join("metrics.json"), case).unwrap();
    run(args!["parity", empty.path()]).fails_with(&["metrics.safetensors", "case0.truth"]);

    let Some(folder) = reference("parity, damaged") else {
        return;
    };
    for file in ["encoder.safetensors", "train.safetensors", "decoder.safetensors"] {
        let dir = copies(&folder, &["init.pth", "trained.pth", file]);
        let whole = std::fs::read(folder.join(file)).unwrap();
        std::fs::write(dir.path().join(file), &whole[..whole.len() / 2]).unwrap();
        run(args!["parity", dir.path()]).fails_with(&[file]);
    }
}
