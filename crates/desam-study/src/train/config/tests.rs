//! Valid and invalid training settings.

use super::*;
use desam_encoder::adapter::AdapterKind;

#[test]
fn the_learning_rate_decays_as_in_the_official_program() {
    // The official training script: poly decay (1 - epoch/epochs)^0.9, stepped each epoch.
    let config = TrainConfig { epochs: 4, ..paper() };
    let rates: Vec<f64> = (0..4).map(|e| config.learning_rate_at(e)).collect();
    assert_eq!(rates[0], 1e-4);
    assert!((rates[1] - 1e-4 * 0.75f64.powf(0.9)).abs() < 1e-18);
    assert!((rates[3] - 1e-4 * 0.25f64.powf(0.9)).abs() < 1e-18);
}

fn paper() -> TrainConfig {
    TrainConfig::preset(Preset::Paper, "A", Mode::Points)
}

#[test]
fn presets_differ_where_paper_and_program_do() {
    let official = TrainConfig::preset(Preset::Official, "A", Mode::Points);
    assert_ne!(paper().loss, official.loss);
    assert_ne!(paper().best_by, official.best_by);
    assert_eq!((paper().epochs, paper().batch, paper().learning_rate), (50, 8, 1e-4));
}

fn decaying(weight_decay: f64) -> AdamConfig {
    AdamConfig { weight_decay, ..AdamConfig::default() }
}

#[test]
fn invalid_settings_are_named() {
    let cases = [
        (TrainConfig { epochs: 0, ..paper() }, "epochs"),
        (TrainConfig { batch: 0, ..paper() }, "batch"),
        (TrainConfig { learning_rate: f64::NAN, ..paper() }, "lr"),
        (TrainConfig { mode: Mode::Box, ..paper() }, "IoU"),
        (TrainConfig { variant: Variant::NoIouHead, ..paper() }, "no-iou-head has no IoU head"),
        (paper().with_variant(Variant::PimmOnly).with_iou_target(IouTarget::Mask), "pimm-only"),
        (TrainConfig { deep_supervision: true, ..sam() }, "deep supervision"),
        (TrainConfig { squeeze: SqueezePlacement::BeforeNorm, ..sam() }, "squeeze"),
        (TrainConfig { clip_norm: Some(0.0), ..paper() }, "clip_norm"),
        (TrainConfig { ema: Some(1.0), ..paper() }, "ema"),
        (TrainConfig { adam: decaying(-0.1), ..paper() }, "weight_decay"),
        (TrainConfig { adam: decaying(f64::NAN), ..paper() }, "weight_decay"),
        (TrainConfig { adam: decaying(1e4), ..paper() }, "weight_decay"),
    ];
    for (config, name) in cases {
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    }
    paper().validate().unwrap();
    // The decoder of adapters is tested with them.
    for variant in Variant::ALL.into_iter().filter(|v| !v.needs_adapter()) {
        paper().with_variant(variant).validate().unwrap();
        let boxed = TrainConfig::preset(Preset::Official, "A", Mode::Box);
        boxed.with_variant(variant).validate().unwrap();
    }
}

fn sam() -> TrainConfig {
    paper().with_variant(Variant::SamDecoder)
}

#[test]
fn the_masks_true_iou_can_be_the_target_in_both_modes() {
    let iou = |preset, mode, target| {
        let config = TrainConfig::preset(preset, "A", mode).with_iou_target(target);
        config.validate().unwrap();
        config.loss.iou
    };
    let mask = |iou: IouLoss| Some(IouLoss { target: IouTarget::Mask, ..iou });
    assert_eq!(iou(Preset::Paper, Mode::Points, IouTarget::Mask), mask(IouLoss::paper()));
    assert_eq!(iou(Preset::Official, Mode::Box, IouTarget::Mask), mask(IouLoss::official()));
    assert_eq!(iou(Preset::Paper, Mode::Box, IouTarget::Membership), None);
    let points = iou(Preset::Paper, Mode::Points, IouTarget::Membership);
    assert_eq!(points, Some(IouLoss::paper()));
}

#[test]
fn a_configuration_from_before_the_variants_means_desam() {
    let text = serde_json::to_string(&paper()).unwrap();
    let news = "\"variant\":\"desam\",\"squeeze\":\"official\",\"deep_supervision\":false,";
    let before = text.replacen(news, "", 1);
    assert_ne!(before, text);
    assert_eq!(serde_json::from_str::<TrainConfig>(&before).unwrap(), paper());
}

#[test]
fn a_configuration_round_trips_through_json() {
    let text = serde_json::to_string(&paper()).unwrap();
    assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), paper());
    // As it was written before decay, clipping and averaging were there: none of them.
    let older =
        text.replace(",\"weight_decay\":0.0", "").replace("\"clip_norm\":null,\"ema\":null,", "");
    let newer = ["weight_decay", "clip_norm", "ema"];
    assert!(newer.iter().all(|field| !older.contains(field)), "{older}");
    assert_eq!(serde_json::from_str::<TrainConfig>(&older).unwrap(), paper());
    let more = text.replacen('{', "{\"surprise\":1,", 1);
    assert!(serde_json::from_str::<TrainConfig>(&more).is_err());
}

#[test]
fn adapters_need_settings_that_fit_them() {
    let adapter = AdapterChoice::new(AdapterKind::Dapsam);
    let own = |mode| {
        TrainConfig::preset(Preset::Paper, "A", mode)
            .with_variant(Variant::ClassDecoder)
            .with_adapter(adapter)
    };
    own(Mode::Box).validate().unwrap();
    for mode in Mode::ALL {
        TrainConfig::preset(Preset::Paper, "A", mode).with_adapter(adapter).validate().unwrap();
    }
    for (config, words) in [
        (own(Mode::Points), "takes no prompt"),
        (TrainConfig { adapter: None, ..own(Mode::Box) }, "needs an adapter"),
        (TrainConfig { live: false, ..own(Mode::Box) }, "runs in every step"),
        (TrainConfig { precision: Precision::Bf16, ..own(Mode::Box) }, "f32"),
        (TrainConfig { adapter: Some(adapter.with_rank(0)), ..own(Mode::Box) }, "rank"),
        (
            TrainConfig { adapter: Some(adapter.with_input_side(Some(0))), ..own(Mode::Box) },
            "input_side",
        ),
        (TrainConfig { decay_epochs: Some(10), ..own(Mode::Box) }, "decay_epochs"),
    ] {
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_warm_up_is_by_step_and_else_rates_are_by_epoch() {
    let official = TrainConfig::preset(Preset::Official, "A", Mode::Box)
        .with_variant(Variant::ClassDecoder)
        .with_adapter(AdapterChoice::new(AdapterKind::Dapsam));
    assert_eq!((official.epochs, official.decay_epochs), (160, Some(200)));
    assert_eq!(official.best_by, BestBy::Last);
    // DAPSAM's program with 100 steps an epoch, hence T = 20 000: step k up to 250 has 5e-4 · k / 250, then
    // 5e-4 · (1 − (k − 251) / T)^0.9.
    let rate = |k: usize| official.learning_rate_of_step(k / 100, k % 100, 100);
    assert!((rate(125) - 2.5e-4).abs() < 1e-18 && (rate(250) - 5e-4).abs() < 1e-18);
    assert!((rate(10_251) - 5e-4 * 0.5f64.powf(0.9)).abs() < 1e-18);
    let paper = TrainConfig::preset(Preset::Paper, "A", Mode::Box);
    assert_eq!(paper.learning_rate_of_step(7, 3, 10), paper.learning_rate_at(7));
}
