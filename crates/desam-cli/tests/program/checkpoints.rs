//! Checkpoints as users have them: with prefixes, in folders and shards, damaged, of other models.

use crate::common::{run, world};
use desam::encoder::Checkpoint;
use desam::encoder::checkpoint::write;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A volume of the phantoms.
fn volume() -> PathBuf {
    let files = std::fs::read_dir(world().data.join("A")).unwrap().map(|e| e.unwrap().path());
    files.min_by_key(|p| p.to_string_lossy().replace("_segmentation", "~")).unwrap()
}

fn predict(model: &Path, mask: &Path) -> [std::ffi::OsString; 9] {
    args!["predict", "-q", "--threads", "1", "--model", model, "--input", volume(), "-o"]
        .map(|a| if a == "-o" { format!("--output={}", mask.display()).into() } else { a })
}

#[test]
fn a_model_with_a_prefix_in_a_folder_predicts_as_without() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let own = Checkpoint::open(world().run.join("model.safetensors")).unwrap();
    let renamed = own.tensors.iter().map(|(k, v)| (format!("module.sam.{k}"), v.clone())).collect();
    let hub = at("hub");
    std::fs::create_dir(&hub).unwrap();
    write(hub.join("model.safetensors"), &renamed, &own.metadata).unwrap();
    std::fs::write(hub.join("config.json"), r#"{"model_type": "sam"}"#).unwrap();
    run(predict(&world().run, &at("a.nii.gz"))).expect(0);
    run(predict(&hub, &at("b.nii.gz"))).expect(0);
    let bytes = |name: &str| std::fs::read(at(name)).unwrap();
    assert_eq!(bytes("a.nii.gz"), bytes("b.nii.gz"));
    let said = run(args!["info", hub]).expect(0).stdout;
    assert!(said.contains("under `sam`") && said.contains("PRIM and PIMM"), "{said}");
}

#[test]
fn weights_that_are_not_finite_make_no_mask() {
    let folder = tempfile::tempdir().unwrap();
    let own = Checkpoint::open(world().run.join("model.safetensors")).unwrap();
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
fn another_model_is_described_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let own = Checkpoint::open(world().run.join("model.safetensors")).unwrap();
    let one = own.tensors.values().next().unwrap().clone();
    let path = folder.path().join("mobile.safetensors");
    let names = ["image_encoder.patch_embed.seq.0.c.weight", "mask_decoder.iou_token.weight"];
    let tensors = names.map(|name| (name.to_owned(), one.clone())).into();
    write(&path, &tensors, &BTreeMap::new()).unwrap();
    let said = run(args!["info", path]).expect(0).stdout;
    assert!(said.contains("MobileSAM"), "{said}");
    let words = ["mobile.safetensors", "MobileSAM", "expected a SAM"];
    run(predict(&path, &folder.path().join("m.nii.gz"))).fails_with(&words);
    let out = folder.path().join("out.safetensors");
    run(args!["convert", path, out]).fails_with(&words);
    let cache = folder.path().join("cache");
    let embed = args!["embed", "-q", "--data", world().data, "--out", cache, "--encoder", path];
    run(embed).fails_with(&words);
    assert!(!out.exists());
}
