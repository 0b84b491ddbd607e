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

#[test]
fn style_views_are_stored_once_and_drawn_in_training() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let cache = at("cache");
    let embed = |more: &[&str]| {
        let base = args![
            "embed",
            "-q",
            "--json",
            "--data",
            fixture.data,
            "--out",
            cache,
            "--encoder",
            "tiny",
            "--slices",
            "all",
        ];
        run(base.into_iter().chain(more.iter().map(std::ffi::OsString::from)))
    };
    embed(&["--augment", "gin"]).usage_error_with(&["--views"]);
    embed(&["--views", "2", "--augment", "gim"]).usage_error_with(&["gin"]);
    embed(&["--views", "2", "--view-sites", "Z"]).fails_with(&["\"Z\"", "A, B, C"]);
    let plain = embed(&[]).expect(0).json();
    train(&cache, &at("none"), &["--augment", "views"]).fails_with(&["style views", "--views"]);

    // Two cases of five slices at A, in two views each; the features of the three sites stay.
    let views = embed(&["--views", "2", "--augment", "randconv", "--view-sites", "A"]).expect(0);
    let views = views.json();
    assert_eq!((&views["views"], &views["computed"]), (&20.into(), &20.into()), "{views}");
    assert_eq!(views["reused"], plain["slices"]);
    let info = run(args!["info", cache]).expect(0);
    for words in ["randconv (seed 0)", "A: 2 cases, 10 slices, 2 views of each"] {
        assert!(info.stdout.contains(words), "{words}: {}", info.stdout);
    }

    let history = |name: &str| std::fs::read_to_string(at(name).join("history.csv")).unwrap();
    train(&cache, &at("plain"), &[]).expect(0);
    let drawn = ["--augment", "views", "--slices", "all"];
    train(&cache, &at("drawn"), &drawn).expect(0);
    train(&cache, &at("again"), &drawn).expect(0);
    assert!(history("drawn") == history("again") && history("drawn") != history("plain"));
    train(&cache, &at("agreeing"), &["--augment", "views", "--consistency", "1"]).expect(0);
    train(&cache, &at("odd"), &["--consistency", "1"]).usage_error_with(&["views"]);
    let live = ["--no-cache", "--augment", "gin,bias", "--consistency", "0.5"];
    train(&cache, &at("live"), &live).expect(0);
    train(&cache, &at("cached"), &["--augment", "gin"]).usage_error_with(&["--no-cache"]);
    train(&cache, &at("both"), &["--no-cache", "--augment", "views"]).usage_error_with(&["cache"]);

    let resume = |name: &str| {
        run(args![
            "train",
            "-q",
            "--cache",
            cache,
            "--source",
            "A",
            "--mode",
            "box",
            "--out",
            at(name),
            "--lr",
            "1e-3",
            "--split",
            "last",
            "--augment",
            "views",
            "--slices",
            "all",
            "--epochs",
            "2",
            "--resume",
        ])
    };
    // A run that was begun before views were recorded goes on with those of its cache.
    let manifest = at("again").join("manifest.json");
    let mut older: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&manifest).unwrap()).unwrap();
    assert_eq!(
        older.as_object_mut().unwrap().remove("views").unwrap(),
        "randconv (seed 0), 2 of each slice"
    );
    std::fs::write(&manifest, older.to_string()).unwrap();
    resume("again").expect(0);
    let recorded = std::fs::read_to_string(&manifest).unwrap();
    assert!(recorded.contains("randconv (seed 0), 2 of each slice"), "{recorded}");

    embed(&["--views", "1", "--augment", "paper"]).expect(0);
    // Views are an input of the run: it cannot go on with others.
    resume("drawn")
        .fails_with(&["style views: was randconv (seed 0), 2 of each slice", "paper (seed 0), 1"]);
    let moving = ["--augment", "views", "--consistency", "1"];
    train(&cache, &at("moving"), &moving).fails_with(&["paper", "move the structure"]);
}
