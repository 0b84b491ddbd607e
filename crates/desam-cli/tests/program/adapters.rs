//! Training with adapters in the image encoder: from the program's flags to masks.

use crate::common::{Ended, fixture, run};
use desam::volume::nifti::{read_labels, read_volume};
use std::path::{Path, PathBuf};

fn train(cache: &Path, out: &Path, more: &[&str]) -> Ended {
    let base = args![
        "train",
        "--cache",
        cache,
        "--source",
        "A",
        "--out",
        out,
        "--epochs",
        "1",
        "--split",
        "last",
        "--batch",
        "4",
        "--warmup-steps",
        "4",
    ];
    run(base.into_iter().chain(more.iter().map(std::ffi::OsString::from)))
}

#[test]
fn networks_with_adapters_are_trained_scored_and_segment_over_their_base() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    // Images and masks are enough.
    let cache = at("images");
    run(args![
        "embed",
        "-q",
        "--data",
        fixture.data,
        "--out",
        cache,
        "--encoder",
        "tiny",
        "--slices",
        "none",
    ])
    .expect(0);
    let small = ["--input-side", "64"];
    let own = ["--mode", "box", "--adapter", "dapsam"];
    let trained = train(&cache, &at("dapsam"), &[&own[..], &small].concat()).expect(0);
    assert!(trained.stdout.contains("class-decoder, adapter dapsam"), "{}", trained.stdout);
    let points = ["--mode", "points", "--adapter", "lora", "--rank", "2", "--variant", "desam"];
    train(&cache, &at("lora"), &[&points[..], &small].concat()).expect(0);

    // Only what was trained is in the file.
    let size = |path: PathBuf| std::fs::metadata(path).unwrap().len();
    assert!(size(at("dapsam/model.safetensors")) * 3 < size(cache.join("model.safetensors")));
    let info = run(args!["info", at("dapsam/model.safetensors")]).expect(0);
    assert!(info.stdout.contains("dapsam, input of 64 px, over "), "{}", info.stdout);
    assert!(!info.stdout.contains("problem"), "{}", info.stdout);

    for name in ["dapsam", "lora"] {
        for protocol in ["paper", "full"] {
            let evaluate = args![
                "evaluate",
                "-q",
                "--json",
                "--cache",
                cache,
                "--run",
                at(name),
                "--protocol",
                protocol,
            ];
            let scores = run(evaluate).expect(0).json();
            let sites = scores["sites"].as_array().unwrap();
            assert!(sites.iter().all(|site| site["mean_dice"].is_number()), "{name}: {scores}");
        }
        let page = at(&format!("{name}.html"));
        run(args!["report", "-q", "--out", page, at(name)]).expect(0);
    }
    // The cache has moved since, and its weights are named.
    let moved = at("moved");
    std::fs::rename(&cache, &moved).unwrap();
    let volume = fixture.data.join("B/Case00.nii.gz");
    let mask = at("mask.nii.gz");
    let predict = |more: &[&std::ffi::OsStr]| {
        let base = args!["predict", "--model", at("dapsam"), "--input", volume, "--output", mask];
        run(base.into_iter().chain(more.iter().map(|a| (*a).to_owned())))
    };
    predict(&[]).fails_with(&["the base that it was trained on is not at", "name the SAM's file"]);
    predict(&["--base".as_ref(), moved.as_os_str()]).expect(0);
    let dims = read_volume(&volume).unwrap().grid().dims;
    assert_eq!(read_labels(&mask).unwrap().grid().dims, dims);
}

#[test]
fn settings_that_do_not_go_with_adapters_are_refused_first() {
    let none = Path::new("no-such-cache");
    let refused = |more: &[&str], words: &[&str]| {
        train(none, Path::new("no-such-run"), more).usage_error_with(words);
    };
    refused(&["--mode", "box", "--input-side", "64"], &["--input-side needs --adapter"]);
    refused(&["--mode", "box", "--adapter", "dapsam", "--rank", "2"], &["--adapter lora"]);
    refused(&["--mode", "points", "--adapter", "dapsam"], &["class-decoder takes no prompt"]);
    refused(&["--mode", "box", "--variant", "class-decoder"], &["needs an adapter"]);
    refused(
        &["--mode", "box", "--adapter", "lora", "--variant", "desam", "--deep-supervision"],
        &["deep supervision"],
    );
}
