//! Checkpoints with prefixes, in folders and shards, damaged, and of other models.

use crate::common::{fixture, run};
use desam::encoder::Checkpoint;
use desam::encoder::checkpoint::write;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A volume of the phantoms.
fn volume() -> PathBuf {
    let files = std::fs::read_dir(fixture().data.join("A")).unwrap().map(|e| e.unwrap().path());
    files.min_by_key(|p| p.to_string_lossy().replace("_segmentation", "~")).unwrap()
}

fn predict(model: &Path, mask: &Path) -> [std::ffi::OsString; 9] {
    args!["predict", "-q", "--threads", "1", "--model", model, "--input", volume(), "-o"]
        .map(|a| if a == "-o" { format!("--output={}", mask.display()).into() } else { a })
}

#[test]
fn a_prefixed_model_in_a_folder_predicts_the_same_mask() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let own = Checkpoint::open(fixture().run.join("model.safetensors")).unwrap();
    let renamed = own.tensors.iter().map(|(k, v)| (format!("module.sam.{k}"), v.clone())).collect();
    let hub = at("hub");
    std::fs::create_dir(&hub).unwrap();
    write(hub.join("model.safetensors"), &renamed, &own.metadata).unwrap();
    std::fs::write(hub.join("config.json"), r#"{"model_type": "sam"}"#).unwrap();
    run(predict(&fixture().run, &at("a.nii.gz"))).expect(0);
    run(predict(&hub, &at("b.nii.gz"))).expect(0);
    let bytes = |name: &str| std::fs::read(at(name)).unwrap();
    assert_eq!(bytes("a.nii.gz"), bytes("b.nii.gz"));
    let said = run(args!["info", hub]).expect(0).stdout;
    assert!(said.contains("under `sam`") && said.contains("PRIM and PIMM"), "{said}");
}

#[test]
fn non_finite_weights_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let own = Checkpoint::open(fixture().run.join("model.safetensors")).unwrap();
    let mut tensors = own.tensors.clone();
    let name = "mask_decoder.iou_token.weight";
    let bad = (&tensors[name] * f64::NAN).unwrap();
    tensors.insert(name.to_owned(), bad);
    let path = folder.path().join("bad.safetensors");
    write(&path, &tensors, &own.metadata).unwrap();
    let mask = folder.path().join("m.nii.gz");
    run(predict(&path, &mask)).fails_with(&["bad.safetensors", name, "NaN"]);
    assert!(!mask.exists());
}

#[test]
fn an_unsupported_model_is_described_by_info_and_rejected_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let own = Checkpoint::open(fixture().run.join("model.safetensors")).unwrap();
    let one = own.tensors.values().next().unwrap().clone();
    let path = folder.path().join("efficient.safetensors");
    let names = ["image_encoder.backbone.input_stem.x.weight", "mask_decoder.iou_token.weight"];
    let tensors = names.map(|name| (name.to_owned(), one.clone())).into();
    write(&path, &tensors, &BTreeMap::new()).unwrap();
    let said = run(args!["info", path]).expect(0).stdout;
    assert!(said.contains("EfficientViT-SAM"), "{said}");
    let words = ["efficient.safetensors", "EfficientViT-SAM", "expected a SAM"];
    run(predict(&path, &folder.path().join("m.nii.gz"))).fails_with(&words);
    let out = folder.path().join("out.safetensors");
    run(args!["convert", path, out]).fails_with(&words);
    let cache = folder.path().join("cache");
    let embed = args!["embed", "-q", "--data", fixture().data, "--out", cache, "--encoder", path];
    run(embed).fails_with(&words);
    assert!(!out.exists());
}
