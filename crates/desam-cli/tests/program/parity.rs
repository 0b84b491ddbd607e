//! `desam parity` on the reference vectors, if they are available next to the checkout, and on damaged
//! folders.

use crate::common::run;
use desam::candle::{DType, Device, Tensor};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The reference vectors next to the checkout; prints that the test is skipped and returns `None` if
/// there are none.
#[allow(clippy::print_stderr, reason = "a test says that it was skipped")]
fn reference(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/tiny");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("{test}: skipped, there are no reference vectors at {}", folder.display());
    None
}

/// A folder with copies of some reference files.
fn copies(from: &Path, names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        // Copies the bytes but not the permissions: the original may be read-only.
        std::fs::write(dir.path().join(name), std::fs::read(from.join(name)).unwrap()).unwrap();
    }
    dir
}

/// Adds 0.5 to the first value of a tensor, or 7 if it is an integer.
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

/// `config.json` with absolute paths, so that it can be copied.
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
fn every_stage_matches_the_official_program() {
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
        "metric hd_mm",
        "metric hd95_mm",
        "metric asd_mm",
        "metric assd_mm",
        "metric surface_dice_1mm",
        "metric surface_dice_3mm",
        "metric robust_hd95_mm",
    ] {
        assert!(names.iter().any(|n| n.starts_with(group)), "{group} is not among {names:?}");
        assert!(ended.stdout.contains(group), "{}", ended.stdout);
    }
    assert!(report["stages"].as_array().unwrap().iter().all(|s| s["passed"] == true));
    // One gradient per `grad0.*` of the reference, with both distances.
    let gradients = report["gradients"].as_array().unwrap();
    let exact =
        desam::candle::safetensors::load(folder.join("train_f64.safetensors"), &Device::Cpu);
    let count = exact.unwrap().keys().filter(|k| k.starts_with("grad0.")).count();
    assert_eq!(gradients.len(), count);
    assert!(gradients.iter().all(|g| g["ours"].is_number() && g["pytorch"].is_number()));
    // Everything in the folder was compared, and every row of the table was measured.
    assert_eq!(report["skipped"].as_array().unwrap().len(), 0, "{}", report["skipped"]);
    let gradients = report["stages"].as_array().unwrap().iter();
    let gradients = gradients.filter(|s| {
        let name = s["name"].as_str().unwrap();
        name.starts_with("gradients") || name.starts_with("PyTorch f32 gradients")
    });
    assert!(gradients.clone().count() == 3, "{names:?}");
    for stage in gradients {
        assert!(stage["largest_difference"].as_f64().unwrap() > 0.0, "{stage}");
    }
}

#[test]
fn one_changed_value_in_any_file_fails() {
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
fn one_changed_value_in_any_list_of_cases_fails() {
    let Some(folder) = reference("parity, perturbed lists") else {
        return;
    };
    // Every metric of one case; each fails only its own stage.
    let read = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    let dir = copies(&folder, &["metrics.safetensors", "losses.safetensors"]);
    let metrics = read("metrics.json");
    let names = metrics[3].as_object().unwrap().keys();
    let names: Vec<&String> =
        names.filter(|n| !["case", "spacing_zyx_mm"].contains(&n.as_str())).collect();
    assert_eq!(names.len(), 11, "{names:?}");
    for name in names {
        let mut changed = metrics.clone();
        changed[3][name] = (metrics[3][name].as_f64().unwrap() * 1.00001).into();
        std::fs::write(dir.path().join("metrics.json"), changed.to_string()).unwrap();
        let ended = run(args!["parity", dir.path(), "-q", "--json"]);
        let ended = ended.fails_with(&[&format!("metric {name} exceeds its limit")]);
        let json = ended.json();
        let failed = json["stages"].as_array().unwrap().iter().filter(|s| s["passed"] == false);
        assert_eq!(failed.count(), 1, "{name}: {}", ended.stderr);
    }
    // Another voxel spacing changes every distance.
    let mut changed = metrics.clone();
    changed[3]["spacing_zyx_mm"][1] = 0.6.into();
    std::fs::write(dir.path().join("metrics.json"), changed.to_string()).unwrap();
    run(args!["parity", dir.path(), "-q"]).fails_with(&["hd_mm", "assd_mm", "surface_dice_1mm"]);

    std::fs::remove_file(dir.path().join("metrics.json")).unwrap();
    let mut losses = read("losses.json");
    losses[1]["bce"] = (losses[1]["bce"].as_f64().unwrap() * 1.001).into();
    std::fs::write(dir.path().join("losses.json"), losses.to_string()).unwrap();
    run(args!["parity", dir.path(), "-q"]).fails_with(&["loss bce exceeds its limit"]);

    let files = ["trained.pth", "train.safetensors", "grid.safetensors"];
    let dir = copies(&folder, &files);
    let mut grid = read("grid.json");
    let iou = &mut grid[0]["anns"][0]["predicted_iou"];
    *iou = (iou.as_f64().unwrap() + 0.001).into();
    std::fs::write(dir.path().join("grid.json"), grid.to_string()).unwrap();
    run(args!["parity", dir.path(), "-q"]).fails_with(&["records' IoU exceeds its limit"]);
}

#[test]
fn metrics_without_a_value_and_unknown_metrics_are_not_skipped() {
    let dir = tempfile::tempdir().unwrap();
    // One mask is empty: neither the reference nor we have a distance.
    let tensor = |values: [u8; 4]| Tensor::new(&[[values]], &Device::Cpu).unwrap();
    let mut tensors = HashMap::from([
        ("case0.pred".to_owned(), tensor([0, 0, 0, 0])),
        ("case0.truth".to_owned(), tensor([0, 1, 1, 0])),
    ]);
    let file = dir.path().join("metrics.safetensors");
    desam::candle::safetensors::save(&tensors, &file).unwrap();
    let list = dir.path().join("metrics.json");
    let case = r#"[{"case": 0, "spacing_zyx_mm": [3, 1, 1], "dice": 0, "hd_mm": null,
                   "surface_dice_2mm": 0, "nsd_of_someone": 1}]"#;
    std::fs::write(&list, case).unwrap();
    let ended = run(args!["parity", dir.path()]).expect(0);
    for line in ["metric surface_dice_2mm", "not checked: metric hd_mm", "nsd_of_someone"] {
        assert!(ended.stdout.contains(line), "{line}: {}", ended.stdout);
    }
    // A distance where there should be none, and none where there should be one.
    std::fs::write(&list, case.replace("null", "3.5")).unwrap();
    run(args!["parity", dir.path(), "-q"]).fails_with(&["metric hd_mm exceeds its limit"]);
    tensors.insert("case0.pred".to_owned(), tensor([0, 1, 1, 1]));
    desam::candle::safetensors::save(&tensors, &file).unwrap();
    std::fs::write(&list, case.replace(r#""dice": 0"#, r#""dice": 0.8"#)).unwrap();
    let ended = run(args!["parity", dir.path()]).fails_with(&["metric hd_mm exceeds its limit"]);
    assert!(ended.stdout.contains("the reference has no value"), "{}", ended.stdout);
    // No spacing, not a number, masks of two shapes, no case.
    for (from, to, message) in [
        (r#""spacing_zyx_mm": [3, 1, 1],"#, "", "case0: spacing_zyx_mm is missing"),
        ("[3, 1, 1]", "[3, 0, 1]", "case0: spacing"),
        ("null", r#""far""#, "hd_mm is \"far\", not a number"),
        (r#"[{"case": 0"#, r#"[{"case": 1"#, "case1.pred"),
    ] {
        std::fs::write(&list, case.replace(from, to)).unwrap();
        run(args!["parity", dir.path()]).fails_with(&[message]);
    }
    std::fs::write(&list, "[]").unwrap();
    run(args!["parity", dir.path()]).fails_with(&["metrics.safetensors", "no case"]);
    std::fs::write(&list, case).unwrap();
    tensors.insert("case0.truth".to_owned(), Tensor::new(&[[[1u8, 1]]], &Device::Cpu).unwrap());
    desam::candle::safetensors::save(&tensors, &file).unwrap();
    run(args!["parity", dir.path()]).fails_with(&["case0: truth: 2 voxels"]);
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
    // Missing files are listed.
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
    // A tensor that the list of cases names and the file lacks.
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
