//! Data augmentation of features, and of images with `--no-cache`.

use crate::common::{fixture, run};
use std::path::Path;

fn train(cache: &Path, out: &Path, more: &[&str]) -> crate::common::Ended {
    let base = args![
        "train", "-q", "--cache", cache, "--source", "A", "--mode", "box", "--out", out,
        "--epochs", "1", "--lr", "1e-3", "--split", "last",
    ];
    run(base.into_iter().chain(more.iter().map(std::ffi::OsString::from)))
}

#[test]
fn images_are_augmented_without_cached_features() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let images = at("images");
    let embed = args![
        "embed",
        "-q",
        "--data",
        fixture.data,
        "--out",
        images,
        "--encoder",
        "tiny",
        "--slices",
        "none",
    ];
    run(embed).expect(0);
    assert!(!images.join("features").exists());

    train(&images, &at("without"), &[]).fails_with(&["images", "--no-cache"]);
    train(&images, &at("cached"), &["--augment", "images"]).usage_error_with(&["--no-cache"]);
    let mixed = ["--no-cache", "--augment", "features"];
    train(&images, &at("mixed"), &mixed).usage_error_with(&["change images"]);

    let history = |name: &str| std::fs::read_to_string(at(name).join("history.csv")).unwrap();
    train(&images, &at("live"), &["--no-cache"]).expect(0);
    let changed = ["--no-cache", "--augment", "images"];
    train(&images, &at("changed"), &changed).expect(0);
    train(&images, &at("again"), &changed).expect(0);
    train(&fixture.cache, &at("restyled"), &["--augment", "features"]).expect(0);
    assert_eq!(history("changed"), history("again"));
    let all = ["live", "changed", "restyled"].map(history);
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    // The saved model is complete: it segments a volume.
    let mask = at("mask.nii.gz");
    let volume = fixture.data.join("A/Case00.nii.gz");
    let predict =
        args!["predict", "-q", "--model", at("changed"), "--input", volume, "--output", mask];
    run(predict).expect(0);
    assert!(mask.is_file());
}
