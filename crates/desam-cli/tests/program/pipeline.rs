//! The whole workflow: phantoms, features, model, scores, masks.

use crate::common::{fixture, run, run_copy};
use desam::Quiet;
use desam::data::phantom::{PhantomConfig, SiteStyle, write_phantoms};
use desam::types::{Affine, Grid, Volume};
use desam::volume::nifti::{read_labels, read_volume, write_volume};
use std::path::Path;

#[test]
fn evaluate_supports_both_protocols() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [json, csv] = ["scores.json", "scores.csv"].map(|n| folder.path().join(n));
    let paper = run(args!["evaluate", "--cache", fixture.cache, "--run", fixture.run]).expect(0);
    for word in ["A to Rest", "validation", "target", "Dice", "evaluation_paper.json"] {
        assert!(paper.stdout.contains(word), "{word}: {}", paper.stdout);
    }
    assert!(fixture.run.join("evaluation_paper.csv").is_file());
    let full = args![
        "evaluate",
        "--cache",
        fixture.cache,
        "--run",
        fixture.run,
        "--protocol",
        "full",
        "--json",
        json,
        "--csv",
        csv,
    ];
    run(full).expect(0);
    let scores: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(scores["protocol"], "full");
    assert_eq!(scores["source"], "A");
    // One held-out case of A (2 cases, at least one on each side) and two each of B and C.
    assert_eq!(scores["cases"].as_array().unwrap().len(), 5);
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), 1 + 5);
    let dice = scores["overall_dice"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&dice), "{dice}");
}

#[test]
fn evaluate_prints_json_and_is_deterministic() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let copy = run_copy(folder.path(), "run");
    let score = || {
        let arguments = args![
            "evaluate",
            "--force",
            "--cache",
            fixture.cache,
            "--run",
            copy,
            "--sites",
            "B",
            "--border",
            "0",
            "--json",
            "--csv",
            folder.path().join("again.csv"),
        ];
        run(arguments).expect(0).json()
    };
    let first = score();
    assert_eq!((first["protocol"].as_str(), first["border_px"].as_u64()), (Some("paper"), Some(0)));
    assert_eq!(first["sites"].as_array().unwrap().len(), 1);
    assert_eq!(first, score());
}

#[test]
fn points_mode_trains_evaluates_and_predicts() {
    let fixture = fixture();
    let out = fixture.dir.path().join("points");
    let train = args![
        "train",
        "--cache",
        fixture.cache,
        "--source",
        "B",
        "--mode",
        "points",
        "--out",
        out,
        "--epochs",
        "1",
        "--batch",
        "4",
        "--preset",
        "official",
        "--json",
    ];
    let trained = run(train).expect(0).json();
    assert_eq!(trained["best_epoch"], 1);
    assert_eq!(trained["history"].as_array().unwrap().len(), 1);
    let evaluate = args![
        "evaluate",
        "--cache",
        fixture.cache,
        "--run",
        out,
        "--grid",
        "2",
        "--sites",
        "A",
        "--json",
    ];
    let scores = run(evaluate).expect(0).json();
    assert_eq!((scores["mode"].as_str(), scores["grid"].as_u64()), (Some("points"), Some(2)));
    let mask = fixture.dir.path().join("points.nii.gz");
    let input = fixture.data.join("A/Case00.nii.gz");
    let predict = args![
        "predict",
        "--model",
        out,
        "--input",
        input,
        "--output",
        mask,
        "--grid",
        "2",
        "--json",
        "--save-json",
        "--save-iou-map",
    ];
    let predicted = run(predict).expect(0).json();
    assert_eq!(predicted["prompts"]["mode"], "points");
    assert_eq!(predicted["done"].as_array().unwrap().len(), 1);
    // Points mode trains the IoU head, so there is an IoU map, and the report has the IoUs.
    let map = read_volume(&fixture.dir.path().join("points.iou.nii.gz")).unwrap();
    assert_eq!(map.grid(), read_volume(&input).unwrap().grid());
    let facts = std::fs::read_to_string(fixture.dir.path().join("points.json")).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(facts["model"]["training"]["iou_supervised"], true);
    assert_eq!(read_labels(&mask).unwrap().grid(), read_volume(&input).unwrap().grid());
}

#[test]
fn train_does_not_overwrite_a_run() {
    let fixture = fixture();
    let before = std::fs::read(fixture.run.join("model.safetensors")).unwrap();
    run(args![
        "train",
        "--cache",
        fixture.cache,
        "--source",
        "A",
        "--mode",
        "box",
        "--out",
        fixture.run
    ])
    .fails_with(&["already holds a run"]);
    assert_eq!(std::fs::read(fixture.run.join("model.safetensors")).unwrap(), before);
}

/// The geometry in a NIfTI header: dim, pixdim, xyzt_units, qform and sform with their codes (offsets
/// of nifti1.h).
fn geometry(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    [40..56, 76..108, 123..124, 252..328].into_iter().flat_map(|r| bytes[r].to_vec()).collect()
}

/// An oblique copy of a phantom, uncompressed so that the header can be compared.
fn oblique(from: &Path, to: &Path) {
    let volume = read_volume(from).unwrap();
    let [sx, sy, sz] = volume.grid().spacing();
    let (s, c) = 0.3f64.sin_cos();
    let affine = Affine([
        [-sx, 0.0, 0.0, 40.5],
        [0.0, -sy * c, -sz * s, 12.25],
        [0.0, -sy * s, sz * c, -33.0],
    ]);
    let grid = Grid { affine, ..*volume.grid() };
    write_volume(to, &Volume::new(grid, volume.data().to_vec()).unwrap()).unwrap();
}

#[test]
fn a_mask_has_the_header_of_its_volume() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [input, mask] = ["t2.nii", "sub/mask.nii"].map(|n| folder.path().join(n));
    oblique(&fixture.data.join("C/Case01.nii.gz"), &input);
    let predicted =
        run(args!["predict", "--model", fixture.run, "--input", input, "--output", mask]).expect(0);
    assert!(predicted.stdout.contains("mask.nii") && predicted.stdout.contains(" ml"));
    assert_eq!(geometry(&mask), geometry(&input));
    let labels = read_labels(&mask).unwrap();
    assert!(labels.data().iter().all(|v| *v <= 1));
}

#[test]
fn a_bad_file_in_a_folder_is_reported_and_the_others_are_segmented() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in", "out"].map(|n| folder.path().join(n));
    std::fs::create_dir(&input).unwrap();
    for (case, name) in
        [("A/Case00", "a.nii.gz"), ("B/Case00", "b.nii.gz"), ("C/Case00", "c.nii.gz")]
    {
        let from = fixture.data.join(format!("{case}.nii.gz"));
        let mut bytes = std::fs::read(from).unwrap();
        if name == "b.nii.gz" {
            bytes.truncate(bytes.len() / 2);
        }
        std::fs::write(input.join(name), bytes).unwrap();
    }
    std::fs::write(input.join("a_segmentation.nii.gz"), "labels are not segmented").unwrap();
    std::fs::write(input.join("notes.txt"), "nor are notes").unwrap();
    let predict = args!["predict", "--model", fixture.run, "--input", input, "--output", output];
    let ended = run(predict.clone()).fails_with(&["b.nii.gz"]);
    assert!(ended.stdout.contains("failed  1"), "{ended:#?}");
    let written = |name: &str| output.join(name).is_file();
    assert_eq!(["a.nii.gz", "b.nii.gz", "c.nii.gz"].map(written), [true, false, true]);
    assert_eq!(std::fs::read_dir(&output).unwrap().count(), 2, "more than the masks is there");
    let json = run(predict.into_iter().chain(args!["--json", "-q", "--force"])).expect(1).json();
    assert_eq!(json["done"].as_array().unwrap().len(), 2);
    assert!(json["failed"][0]["input"].as_str().unwrap().ends_with("b.nii.gz"), "{json}");
}

#[test]
fn the_number_of_threads_does_not_change_a_mask() {
    let fixture = fixture();
    let input = fixture.data.join("B/Case01.nii.gz");
    let masks = ["1", "2"].map(|threads| {
        let mask = fixture.dir.path().join(format!("threads{threads}.nii.gz"));
        let predict = args![
            "--threads",
            threads,
            "predict",
            "--model",
            fixture.run,
            "--input",
            input,
            "--output",
            mask,
        ];
        run(predict).expect(0);
        std::fs::read(mask).unwrap()
    });
    assert!(masks[0] == masks[1]);
}

#[test]
fn a_converted_model_gives_the_same_masks() {
    let fixture = fixture();
    let model = fixture.run.join("model.safetensors");
    let copy = fixture.dir.path().join("converted/copy.safetensors");
    let converted = run(args!["convert", model, copy]).expect(0);
    assert!(converted.stdout.contains("PRIM and PIMM"), "{}", converted.stdout);
    let facts = |path: &Path| run(args!["info", path, "--json"]).expect(0).json();
    let (before, after) = (facts(&model), facts(&copy));
    assert_eq!(before["kind"], "checkpoint");
    for same in ["weights_blake3", "record", "parameters", "holds"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!(before["record"]["training"]["source"], "A");
    assert_eq!(before["summary"]["image_encoder_config"]["width"], 96);
    run(args!["convert", model, fixture.dir.path().join("copy.pth")])
        .usage_error_with(&[".safetensors"]);
}

#[test]
fn info_describes_every_kind_of_file() {
    let fixture = fixture();
    let facts = |path: &Path| run(args!["info", path, "--json"]).expect(0).json();
    let volume = facts(&fixture.data.join("A/Case00.nii.gz"));
    assert_eq!((volume["kind"].as_str(), volume["axes"].as_str()), (Some("volume"), Some("LPS")));
    assert_eq!(volume["dims"].as_array().unwrap().len(), 3);
    let run_facts = facts(&fixture.run);
    assert_eq!(
        (run_facts["kind"].as_str(), run_facts["config"]["train"]["source"].as_str()),
        (Some("run"), Some("A"))
    );
    assert_eq!(run_facts["manifest"]["finished"], true);
    let data = facts(&fixture.data);
    assert_eq!((data["kind"].as_str(), data["cases"].as_u64()), (Some("data"), Some(6)));
    let verified = run(args!["info", fixture.cache, "--verify", "--json"]).expect(0).json();
    assert_eq!(
        (verified["kind"].as_str(), verified["verified"].as_bool()),
        (Some("cache"), Some(true))
    );
    assert_eq!(verified["sites"].as_array().unwrap().len(), 3);
    for (path, word) in [
        (fixture.data.join("A/Case00.nii.gz"), "spacing"),
        (fixture.run.clone(), "best epoch"),
        (fixture.cache.clone(), "encoder"),
        (fixture.run.join("model.safetensors"), "PIMM"),
        (fixture.data.clone(), "cases"),
    ] {
        let text = run(args!["info", path]).expect(0).stdout;
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn quiet_prints_warnings_only_and_progress_is_never_on_stdout() {
    let fixture = fixture();
    let input = fixture.data.join("A/Case01.nii.gz");
    let predict = |flag: &str| {
        let mask = fixture.dir.path().join(format!("quiet{flag}.nii.gz"));
        run(args!["predict", flag, "--model", fixture.run, "--input", input, "--output", mask])
            .expect(0)
    };
    let quiet = predict("-q");
    // A warning, such as about an empty mask, is printed even with -q.
    let warned = quiet.stderr.lines().all(|line| line.starts_with("warning: "));
    assert!(quiet.stdout.lines().count() == 1 && warned, "{quiet:?}");
    let verbose = predict("-v");
    assert!(
        verbose.stderr.contains("threads") && !verbose.stdout.contains("threads"),
        "{verbose:?}"
    );
    assert_eq!(verbose.stdout.lines().count(), 1, "{verbose:?}");
}

#[test]
fn phantoms_equal_those_of_the_library_for_the_same_seed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("phantoms");
    let phantom = args!["phantom", "--out", out, "--cases-per-site", "1", "--seed", "7", "--json"];
    let json = run(phantom).expect(0).json();
    assert_eq!((json["cases"].as_u64(), json["phantom"].as_bool()), (Some(6), Some(true)));
    let library = |seed: u64| {
        let dir = folder.path().join(format!("library{seed}"));
        let sites = SiteStyle::six_sites().into_iter().filter(|s| s.name == "E").collect();
        write_phantoms(&dir, &PhantomConfig { cases_per_site: 1, seed, sites }, &Quiet).unwrap();
        std::fs::read(dir.join("E/Case00.nii.gz")).unwrap()
    };
    let written = std::fs::read(out.join("E/Case00.nii.gz")).unwrap();
    assert!(written == library(7));
    assert!(written != library(8));
    // A phantom's gland has 20 to 80 ml, according to the documentation of the phantoms.
    let label = out.join("A/Case00_segmentation.nii.gz");
    let facts = run(args!["info", label, "--json"]).expect(0).json();
    let ml = facts["foreground_ml"].as_f64().unwrap();
    assert!((20.0..80.0).contains(&ml), "{ml}");
}
