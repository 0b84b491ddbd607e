//! Every decoder variant: trained, evaluated, used for prediction, and recorded in the model.

use crate::common::{fixture, run};
use desam::decoder::Variant;
use desam::volume::nifti::read_labels;
use std::path::{Path, PathBuf};

/// Trains two epochs on site A; returns the summary.
fn train(out: &Path, mode: &str, more: &[&str]) -> serde_json::Value {
    let fixture = fixture();
    let train = args![
        "train",
        "--cache",
        fixture.cache,
        "--source",
        "A",
        "--mode",
        mode,
        "--out",
        out,
        "--epochs",
        "2",
        "--lr",
        "1e-3",
        "--split",
        "last",
        "--json",
        "-q",
    ];
    run(train.into_iter().chain(more.iter().map(Into::into))).expect(0).json()
}

fn info(path: &Path) -> serde_json::Value {
    run(args!["info", path, "--json"]).expect(0).json()
}

#[test]
fn every_variant_trains_evaluates_and_predicts() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let input = fixture.data.join("B/Case00.nii.gz");
    // Variants that need adapters are tested with those.
    let variants = Variant::ALL.into_iter().filter(|v| !v.needs_adapter());
    for (variant, mode) in variants.flat_map(|v| [(v, "points"), (v, "box")]) {
        let out = folder.path().join(format!("{variant}-{mode}"));
        let trained = train(&out, mode, &["--variant", variant.name()]);
        let history = trained["history"].as_array().unwrap();
        assert_eq!(history.len(), 2, "{variant}, {mode}");
        let loss = |epoch: usize| history[epoch]["train_loss"].as_f64().unwrap();
        // A dozen steps are too few for a good model, but the loss decreases.
        assert!(loss(1) < loss(0), "{variant}, {mode}: {} after {}", loss(1), loss(0));

        let model = out.join("model.safetensors");
        let (described, checkpoint) = (info(&out), info(&model));
        assert_eq!(described["config"]["train"]["variant"], variant.name());
        assert_eq!(described["config"]["decoder"]["variant"], variant.name());
        assert_eq!(checkpoint["record"]["variant"], variant.name());
        assert_eq!(checkpoint["summary"]["pimm"].is_null(), variant == Variant::SamDecoder);

        let evaluate = args![
            "evaluate",
            "--cache",
            fixture.cache,
            "--run",
            out,
            "--sites",
            "C",
            "--json",
            "-q",
        ];
        let grid = args!["--grid", "2"];
        if mode == "box" {
            run(evaluate.iter().chain(&grid)).fails_with(&["--grid is for points mode"]);
        }
        let more = if mode == "box" { &[][..] } else { &grid[..] };
        let scores = run(evaluate.iter().chain(more)).expect(0).json();
        assert_eq!(scores["mode"], mode);
        let dice = scores["overall_dice"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&dice), "{variant}, {mode}: {dice}");

        // Both modes from the model file alone, without a flag for the variant.
        for (prompting, flags) in [("points", &["--grid", "2"][..]), ("box", &[])] {
            let mask = folder.path().join(format!("{variant}-{mode}-{prompting}.nii.gz"));
            let predict = args![
                "predict", "--model", model, "--input", input, "--output", mask, "--mode",
                prompting, "-q",
            ];
            run(predict.into_iter().chain(flags.iter().map(Into::into))).expect(0);
            assert!(read_labels(&mask).unwrap().data().iter().all(|v| *v <= 1));
        }
    }
    // An IoU map needs a predicted IoU.
    let model = folder.path().join("no-iou-head-points");
    let mask = folder.path().join("unwritten.nii.gz");
    let predict =
        args!["predict", "--model", model, "--input", input, "--output", mask, "--save-iou-map"];
    run(predict).fails_with(&["no-iou-head predicts no IoU"]);
    assert!(!mask.exists());
    // The mask of PIMM alone does not depend on the prompt.
    let masks = ["points", "box"].map(|prompting| {
        let mask = folder.path().join(format!("pimm-only-box-{prompting}.nii.gz"));
        read_labels(&mask).unwrap().data().to_vec()
    });
    assert!(masks[0] == masks[1]);
}

#[test]
fn decoder_and_loss_flags_are_recorded_in_run_and_model() {
    let folder = tempfile::tempdir().unwrap();
    let [deep, mask] = ["deep", "mask"].map(|n| folder.path().join(n));
    let flags = [
        "--squeeze",
        "before-norm",
        "--deep-supervision",
        "--dice-weight",
        "0.5",
        "--bce-weight",
        "2",
        "--iou-weight",
        "3",
        "--iou-target",
        "mask",
    ];
    train(&deep, "points", &flags);
    let facts = info(&deep);
    let train_config = &facts["config"]["train"];
    assert_eq!(train_config["squeeze"], "before_norm");
    assert_eq!(train_config["deep_supervision"], true);
    let loss = &train_config["loss"];
    assert_eq!((loss["dice"].as_f64(), loss["bce"].as_f64()), (Some(0.5), Some(2.0)));
    assert_eq!(
        (loss["iou"]["weight"].as_f64(), &loss["iou"]["target"]),
        (Some(3.0), &"mask".into())
    );
    let model = info(&deep.join("model.safetensors"));
    assert_eq!(model["record"]["squeeze"], "before_norm");

    // In box mode the IoU of the decoded mask can be the target, with the preset's loss and weight.
    train(&mask, "box", &["--iou-target", "mask", "--variant", "sam-decoder"]);
    let iou = &info(&mask)["config"]["train"]["loss"]["iou"];
    assert_eq!((&iou["kind"], iou["weight"].as_f64()), (&"mse".into(), Some(10.0)));
}

#[test]
fn incompatible_flags_are_usage_errors() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let out: PathBuf = folder.path().join("run");
    for (mode, flags, words) in [
        ("points", &["--variant", "pimm-only", "--iou-target", "mask"][..], "no IoU head"),
        ("points", &["--variant", "no-iou-head", "--iou-weight", "2"], "no IoU term"),
        ("box", &["--iou-weight", "2"], "no IoU term"),
        ("box", &["--iou-target", "membership"], "--iou-target: variant desam in box mode"),
        ("points", &["--variant", "pimm-only", "--iou-target", "membership"], "no IoU term"),
        ("box", &["--variant", "sam-decoder", "--deep-supervision"], "deep supervision"),
        ("box", &["--variant", "sam-decoder", "--squeeze", "before-norm"], "squeeze"),
        ("box", &["--dice-weight", "0", "--bce-weight", "0"], "above 0"),
    ] {
        let train =
            args!["train", "--cache", fixture.cache, "--source", "A", "--mode", mode, "--out", out];
        run(train.into_iter().chain(flags.iter().map(Into::into))).usage_error_with(&[words]);
        assert!(!out.exists(), "{flags:?}");
    }
}

#[test]
fn a_sam_decoder_can_be_initialised_from_desam_and_vice_versa() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [sam, desam] = ["sam", "desam"].map(|n| folder.path().join(n));
    let model = |run: &Path| run.join("model.safetensors").to_str().unwrap().to_owned();
    train(&sam, "box", &["--variant", "sam-decoder", "--init", &model(&fixture.run)]);
    let drawn = |run: &Path| info(run)["manifest"]["initialised_parameters"].as_u64().unwrap();
    assert_eq!(drawn(&sam), 0);
    train(&desam, "box", &["--init", &model(&sam)]);
    // All of PIMM is initialised at random, and nothing else.
    let pimm = info(&desam.join("model.safetensors"))["summary"]["pimm"]["tensors"].as_u64();
    assert_eq!(Some(drawn(&desam)), pimm);
}
