//! Help texts, usage errors, and errors that name the file at fault.

use crate::common::{fixture, run};

#[test]
fn the_help_of_every_command_lists_its_flags() {
    // Scripts rely on these names.
    let flags: [(&str, &[&str]); 11] = [
        ("demo", &["--out", "--seed"]),
        ("phantom", &["--out", "--cases-per-site", "--seed"]),
        ("embed", &["--data", "--out", "--encoder", "--preprocess", "--dtype", "--slices"]),
        (
            "train",
            &[
                "--cache",
                "--source",
                "--mode",
                "--out",
                "--preset",
                "--epochs",
                "--batch",
                "--lr",
                "--seed",
                "--init",
                "--variant",
                "--squeeze",
                "--deep-supervision",
                "--iou-target",
                "--weight-decay",
                "--clip-norm",
                "--ema",
                "--precision",
                "--keep-features",
                "--dice-weight",
                "--bce-weight",
                "--iou-weight",
                "--resume",
                "--checkpoint-minutes",
                "--keep-checkpoints",
            ],
        ),
        (
            "evaluate",
            &[
                "--cache",
                "--run",
                "--protocol",
                "--border",
                "--grid",
                "--json",
                "--metrics",
                "--empty",
                "--bootstrap",
                "--seed",
                "--level",
            ],
        ),
        ("compare", &["<RUN_A>", "<RUN_B>", "--protocol", "--metric", "--bootstrap", "--seed"]),
        (
            "report",
            &["<RUN|PLAN>", "--out", "--protocol", "--cache", "--cases", "--slices", "--title"],
        ),
        ("predict", &["--model", "--input", "--output", "--mode", "--grid"]),
        ("convert", &["<IN>", "<OUT.safetensors>"]),
        ("info", &["[FILE]"]),
        ("parity", &["<DIR>", "config.json", "Exit codes"]),
    ];
    let top = run(["--help"]).expect(0).stdout;
    for (command, expected) in flags {
        assert!(top.contains(&format!("\n  {command} ")), "{top}");
        let help = run([command, "--help"]).expect(0).stdout;
        let everywhere = ["--json", "--verbose", "--quiet", "--threads", "--device", "Example"];
        for flag in expected.iter().chain(&everywhere) {
            assert!(help.contains(flag), "{command}: no {flag} in\n{help}");
        }
    }
    for step in ["embed", "train", "evaluate", "predict", "Exit codes", "HF_HOME", "DESAM_DEVICE"] {
        assert!(top.contains(step), "{top}");
    }
}

#[test]
fn possible_values_are_listed_in_the_help() {
    for (command, choices) in [
        ("embed", &["f16", "f32", "labelled", "all", "paper", "official"][..]),
        ("train", &["points", "box", "seeded", "last", "pimm-only", "no-iou-head"]),
        ("train", &["no-mask-fusion", "sam-decoder", "before-norm", "membership"]),
        ("evaluate", &["paper", "full", "diagonal", "infinite", "left-out", "surface-dice@MM"]),
    ] {
        let help = run([command, "--help"]).expect(0).stdout;
        assert!(choices.iter().all(|c| help.contains(c)), "{command}: {help}");
    }
}

#[test]
fn usage_errors_exit_with_2() {
    for wrong in [
        &["paint"][..],
        &["train"],
        &["info", "--verify"],
        &["info", "x", "--loud"],
        &["info", "x", "--device", "gpu"],
        &["info", "x", "-v", "-q"],
        &["info", "x", "--threads", "0"],
        &["embed", "--data", "d", "--out", "c", "--encoder", "tiny", "--dtype", "f8"],
        &["train", "--cache", "c", "--source", "A", "--out", "r", "--mode", "circle"],
        &["train", "--cache", "c", "--source", "A", "--out", "r", "--mode", "box", "--lr", "-1"],
        &["train", "--cache", "c", "--source", "A", "--out", "r", "--mode", "box", "--epochs", "0"],
        &[
            "train",
            "--cache",
            "c",
            "--source",
            "A",
            "--out",
            "r",
            "--mode",
            "box",
            "--checkpoint-minutes",
            "-1",
        ],
        &["predict", "--model", "m", "--input", "i", "--output", "o", "--grid", "65"],
        &["evaluate", "--cache", "c", "--run", "r", "--protocol", "best"],
        &["evaluate", "--cache", "c", "--run", "r", "--metrics", "dice,hd96"],
        &["compare", "a"],
        &["report", "a"],
        &["convert", "a.pth", "b.pth"],
        &["sweep", "run", "plan"],
        &[
            "predict", "--model", "m", "--input", "i", "--output", "o", "--mode", "box", "--grid",
            "3",
        ],
        &["report", "--out", "page.html"],
        &["compare", "a", "b", "--metric", "best"],
        &["phantom", "--out", "p", "--cases-per-site", "-3"],
    ] {
        let ended = run(wrong).expect(2);
        assert!(ended.stdout.is_empty() && ended.stderr.contains("--help"), "{wrong:?}: {ended:?}");
    }
}

#[test]
fn without_a_command_the_help_is_printed() {
    let ended = run::<&str>([]).expect(2);
    assert!(ended.stderr.contains("Examples:"), "{ended:?}");
}

#[test]
fn version_prints_the_version_of_the_package() {
    let version = run(["--version"]).expect(0).stdout;
    assert_eq!(version.trim(), concat!("desam ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn missing_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("not-here");
    let missing = missing.to_str().unwrap();
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    for command in [
        &["info", missing][..],
        &["parity", missing],
        &["convert", missing, "x.safetensors"],
        &["embed", "--data", missing, "--out", out, "--encoder", "tiny"],
        &["train", "--cache", missing, "--source", "A", "--mode", "box", "--out", out],
        &["evaluate", "--cache", missing, "--run", missing],
        &["compare", missing, missing],
        &["report", missing, "--out", "page.html"],
        &["predict", "--model", missing, "--input", missing, "--output", "m.nii.gz"],
    ] {
        run(command).fails_with(&["not-here"]);
    }
    assert!(!std::path::Path::new(out).exists(), "a failed command left a folder");
}

#[test]
fn an_unknown_encoder_is_an_error_that_lists_the_names() {
    let fixture = fixture();
    let (data, out) = (&fixture.data, fixture.dir.path().join("no-encoder"));
    run(args!["embed", "--data", data, "--out", out, "--encoder", "vit-x"])
        .fails_with(&["vit-x", "vit-b, vit-l, vit-h"]);
    assert!(!out.exists());
}

#[test]
fn an_encoder_that_is_not_downloaded_is_an_error_offline() {
    // With feature `hub`, HF_HUB_OFFLINE forbids the download; without it, there are no downloads.
    let fixture = fixture();
    let (data, out) = (&fixture.data, fixture.dir.path().join("offline"));
    let home = tempfile::tempdir().unwrap();
    let ended: crate::common::Ended = crate::common::program()
        .env("HF_HOME", home.path())
        .env("HF_HUB_OFFLINE", "1")
        .args(args!["embed", "--data", data, "--out", out, "--encoder", "vit-b"])
        .output()
        .unwrap()
        .into();
    let expected =
        if cfg!(feature = "hub") { home.path().to_str().unwrap() } else { "--features hub" };
    ended.fails_with(&[expected]);
    assert!(!out.exists());
}

#[test]
fn files_of_the_wrong_kind_are_errors_that_name_them() {
    let fixture = fixture();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("notes.safetensors");
    std::fs::write(&text, "these are notes, not weights").unwrap();
    run(args!["info", text]).fails_with(&["notes.safetensors"]);
    let nifti = dir.path().join("broken.nii.gz");
    std::fs::write(&nifti, [0x1f, 0x8b, 8, 0, 0]).unwrap();
    run(args!["info", nifti]).fails_with(&["broken.nii.gz"]);
    run(args!["info", dir.path()]).fails_with(&["cache.json", "config.json"]);
    // A cache is not a run, a run is not a cache, and frozen weights are not a trained model.
    run(args!["evaluate", "--cache", fixture.cache, "--run", fixture.cache])
        .fails_with(&["not a run"]);
    run(args!["evaluate", "--cache", fixture.run, "--run", fixture.run])
        .fails_with(&[fixture.run.to_str().unwrap()]);
    let weights = fixture.cache.join("model.safetensors");
    let input = fixture.data.join("A/Case00.nii.gz");
    run(args![
        "predict",
        "--model",
        weights,
        "--input",
        input,
        "--output",
        dir.path().join("m.nii.gz")
    ])
    .fails_with(&["PIMM"]);
    run(args![
        "train",
        "--cache",
        fixture.cache,
        "--source",
        "Z",
        "--mode",
        "box",
        "--out",
        dir.path().join("r")
    ])
    .fails_with(&["\"Z\"", "A, B, C"]);
    assert!(!dir.path().join("r").exists());
}

#[test]
fn a_mask_never_overwrites_its_volume() {
    let fixture = fixture();
    let input = fixture.data.join("A/Case00.nii.gz");
    let before = std::fs::read(&input).unwrap();
    let folder = fixture.data.join("A");
    run(args!["predict", "--model", fixture.run, "--input", input, "--output", input])
        .fails_with(&["another --output"]);
    run(args!["predict", "--model", fixture.run, "--input", input, "--output", folder])
        .fails_with(&["another --output"]);
    run(args!["predict", "--model", fixture.run, "--input", folder, "--output", folder])
        .fails_with(&["another --output"]);
    run(args!["predict", "--model", fixture.run, "--input", input, "--output", "mask.png"])
        .fails_with(&[".nii.gz"]);
    assert_eq!(std::fs::read(&input).unwrap(), before);
}
