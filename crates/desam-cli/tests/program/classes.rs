//! Several classes from label files to masks.

use crate::common::{fixture, run};
use desam::types::LabelVolume;
use desam::volume::nifti::{read_labels, read_volume, write_labels};
use std::path::{Path, PathBuf};

/// The fixture's volumes, with the right half of the structure labelled 2 and its left half 1.
fn halves(from: &Path, to: &Path) {
    for site in ["A", "B"] {
        let (from, to) = (from.join(site), to.join(site));
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let (name, copy) =
                (path.file_name().unwrap().to_owned(), to.join(path.file_name().unwrap()));
            if !name.to_string_lossy().contains("egmentation") {
                std::fs::copy(&path, copy).unwrap();
                continue;
            }
            let labels = read_labels(&path).unwrap();
            let grid = *labels.grid();
            let half = |(n, label): (usize, u8)| {
                label * (1 + u8::from(2 * (n % grid.dims[0]) > grid.dims[0]))
            };
            let data = labels.into_data().into_iter().enumerate().map(half).collect();
            write_labels(&copy, &LabelVolume::new(grid, data).unwrap()).unwrap();
        }
    }
}

fn train(cache: &Path, out: &Path, more: &[&str]) -> crate::common::Ended {
    let base = args![
        "train", "--json", "--cache", cache, "--source", "A", "--out", out, "--epochs", "2",
        "--lr", "1e-3", "--split", "last",
    ];
    run(base.into_iter().chain(more.iter().map(std::ffi::OsString::from)))
}

#[test]
fn two_classes_are_trained_scored_and_written() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let (data, cache) = (at("data"), at("cache"));
    halves(&fixture.data, &data);
    let embed = args![
        "embed",
        "-q",
        "--data",
        data,
        "--out",
        cache,
        "--encoder",
        "tiny",
        "--slices",
        "all",
    ];
    run(embed).expect(0);

    // Without a table the labels are one foreground, and the program says so.
    let merged = train(&cache, &at("merged"), &["--mode", "box"]).expect(0);
    assert!(merged.stderr.contains("labels 1, 2 are trained as one foreground"), "{merged:?}");
    let both = ["--mode", "box", "--classes", "left=1,right=2", "--preset", "volume"];
    train(&cache, &at("both"), &both).expect(0);
    let points = ["--mode", "points", "--classes", "right=2"];
    let one = train(&cache, &at("one"), &points).expect(0);
    assert!(one.stderr.contains("classes right=2; labels 1 are background"), "{one:?}");
    train(&cache, &at("bad"), &["--mode", "box", "--classes", "left"])
        .usage_error_with(&["NAME=LABEL"]);
    train(&cache, &at("lost"), &["--mode", "box", "--classes", "lesion=4"])
        .fails_with(&["lesion", "label 4", "1, 2"]);
    // Heads for one class are no start for two, but all else is.
    let init = at("merged/model.safetensors");
    let started = [both.as_slice(), &["--init", init.to_str().unwrap()]].concat();
    let fresh = train(&cache, &at("started"), &started).expect(0);
    assert!(
        fresh.stderr.contains("parameters, the last layers, are for another number"),
        "{fresh:?}"
    );
    // As many classes in another order would start from each other's heads.
    let init = at("both/model.safetensors");
    let swapped = ["--mode", "box", "--classes", "right=2,left=1", "--preset", "volume", "--init"];
    let swapped = [&swapped[..], &[init.to_str().unwrap()]].concat();
    let swapped = train(&cache, &at("swapped"), &swapped).expect(0);
    assert!(swapped.stderr.contains("right from left, left from right"), "{swapped:?}");
    let nowhere = [both.as_slice(), &["--init", "nope"]].concat();
    train(&cache, &at("nowhere"), &nowhere)
        .fails_with(&["nope: there is no such file", "model file"]);
    // Labels that the cache does not hold are no table to plan runs of.
    let plan = |classes: &str, out: &str| {
        run(args![
            "sweep",
            "plan",
            "--table",
            "1",
            "--cache",
            cache,
            "--out",
            at(out),
            "--classes",
            classes,
        ])
    };
    plan("left=1,lesion=4", "bad-plan").fails_with(&["lesion", "label 4", "1, 2"]);
    plan("left=1,right=2", "plan").expect(0);
    let collected = run(args!["sweep", "collect", at("plan"), "--partial"]).expect(0);
    let legend = "Dice in per cent as mean of the classes left=1,right=2";
    assert!(collected.stdout.contains(legend), "{}", collected.stdout);

    let evaluate = |run_dir: &Path, protocol: &str| {
        run(args![
            "evaluate",
            "-q",
            "--json",
            "--cache",
            cache,
            "--run",
            run_dir,
            "--protocol",
            protocol,
            "--metrics",
            "dice,hd95",
        ])
        .expect(0)
        .json()
    };
    for protocol in ["paper", "full", "native"] {
        let scores = evaluate(&at("both"), protocol);
        assert_eq!(scores["classes"], "left=1,right=2");
        let target = scores["sites"].as_array().unwrap().iter().find(|s| s["site"] == "B").unwrap();
        let classes = target["classes"].as_array().unwrap();
        let dice = |class: &serde_json::Value| class["metrics"]["dice"]["mean"].as_f64().unwrap();
        let names: Vec<_> = classes.iter().map(|c| c["class"].as_str().unwrap()).collect();
        assert_eq!(names, ["left", "right"]);
        // The score of the site is the mean of its classes.
        let mean = classes.iter().map(dice).sum::<f64>() / 2.0;
        assert!(
            (target["mean_dice"].as_f64().unwrap() - mean).abs() < 1e-9,
            "{protocol}: {target}"
        );
    }
    let text = run(args!["evaluate", "--cache", cache, "--run", at("both"), "--force"]).expect(0);
    assert!(text.stdout.contains("by class") && text.stdout.contains("right"), "{}", text.stdout);
    let csv = std::fs::read_to_string(
        text.stdout.lines().last().unwrap().split_once("cases").unwrap().1.trim(),
    );
    assert!(csv.unwrap().lines().next().unwrap().contains("dice_0_to_1_right"));
    // A model of one of the classes is scored on that one.
    assert_eq!(evaluate(&at("one"), "full")["classes"], "right=2");

    let volume = data.join("B/Case00.nii.gz");
    let predict = |model: &str, mask: &Path| {
        run(args![
            "predict",
            "-q",
            "--json",
            "--save-json",
            "--save-probability",
            "--model",
            at(model),
            "--input",
            volume,
            "--output",
            mask,
        ])
        .expect(0)
        .json()
    };
    let mask = at("mask.nii.gz");
    let summary = predict("both", &mask);
    let labels = read_labels(&mask).unwrap();
    assert!(labels.labels().iter().all(|label| [1, 2].contains(label)));
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(at("mask.json")).unwrap()).unwrap();
    let classes = report["classes"].as_array().unwrap();
    let sizes: Vec<f64> = classes.iter().map(|c| c["volume_ml"].as_f64().unwrap()).collect();
    let whole = report["volume_ml"].as_f64().unwrap();
    assert!((sizes.iter().sum::<f64>() - whole).abs() < 1e-9 * whole.max(1.0), "{report}");
    assert!(summary.to_string().contains("left"), "{summary}");
    for class in ["left", "right"] {
        let map = read_volume(&at(&format!("mask.probability.{class}.nii.gz"))).unwrap();
        assert_eq!(map.grid().dims, labels.grid().dims);
    }
    // The text says of each class what the JSON says, rounded.
    let text = run(args![
        "predict",
        "-q",
        "--force",
        "--model",
        at("both"),
        "--input",
        volume,
        "--output",
        mask,
    ])
    .expect(0)
    .stdout;
    let done = &summary["done"][0];
    for (class, label) in [("left", 1), ("right", 2)] {
        let found =
            done["classes"].as_array().unwrap().iter().find(|c| c["name"] == class).unwrap();
        let line =
            format!("  {class} (label {label})  {:.1} ml", found["volume_ml"].as_f64().unwrap());
        let line = text.lines().find(|l| l.starts_with(&line)).expect("a line of the class");
        let rated = |value: &serde_json::Value| {
            value.as_f64().map(|confidence| format!("confidence {confidence:.2}"))
        };
        assert_eq!(line.contains("confidence"), found["confidence"].is_f64(), "{text}");
        assert!(rated(&found["confidence"]).is_none_or(|words| line.contains(&words)), "{text}");
        let whole = rated(&done["confidence"]);
        assert!(whole.is_none_or(|words| text.lines().next().unwrap().contains(&words)), "{text}");
    }
    // Of one class the mask has that class's label, so that it compares with the ground truth.
    predict("one", &at("one.nii.gz"));
    assert!(read_labels(&at("one.nii.gz")).unwrap().labels().iter().all(|label| *label == 2));
}

#[test]
fn a_class_that_no_held_out_case_holds_is_warned_of() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let (data, cache) = (at("data"), at("cache"));
    halves(&fixture.data, &data);
    // The last case of A, which is held out, has its left half alone.
    let labels = std::fs::read_dir(data.join("A")).unwrap().map(|entry| entry.unwrap().path());
    let labels = labels.filter(|path| path.to_string_lossy().contains("egmentation"));
    let last = labels.max().unwrap();
    let whole = read_labels(&last).unwrap();
    let left = whole.data().iter().map(|label| u8::from(*label == 1)).collect();
    write_labels(&last, &LabelVolume::new(*whole.grid(), left).unwrap()).unwrap();
    run(args!["embed", "-q", "--data", data, "--out", cache, "--encoder", "tiny"]).expect(0);
    let both = ["--mode", "box", "--classes", "left=1,right=2"];
    let warned = train(&cache, &at("run"), &both).expect(0);
    let words = "warning: no held-out case has ground truth of class right";
    assert!(warned.stderr.contains(words), "{warned:?}");
    // With the left half alone there is nothing to warn of.
    let left = train(&cache, &at("left"), &["--mode", "box", "--classes", "left=1"]).expect(0);
    assert!(!left.stderr.contains("no held-out case"), "{left:?}");
}
