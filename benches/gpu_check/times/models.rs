//! What the program is used for, with random weights.

use super::{ALL, EAGER, Goal, PLAIN, Setting, Subject, random};
use crate::Result;
use crate::gauge::Repetitions;
use crate::models::slice::Slice;
use crate::models::step::Step;
use desam::candle::Device;
use desam::encoder::VitConfig;
use desam::types::{ImageEncoder, Precision};
use serde_json::json;
use std::hint::black_box;

/// 5 GB; the paper's is 7.8 (its Table 5).
const PEAK: u64 = 5_000_000_000;

pub(super) fn subjects<'a>(setting: &Setting<'a>) -> Vec<Subject<'a>> {
    if setting.quick {
        return vec![
            encoder(setting, "tiny", 2, vec![Goal::Rate(1e9)]),
            step(setting, "tiny", 2, vec![Goal::Eager(0.0)]),
            grid(setting, "tiny", 3, vec![Goal::Milliseconds(1e9)]),
        ];
    }
    vec![
        encoder(setting, "vit-h", 8, vec![Goal::Rate(60.0), Goal::Eager(1.5)]),
        encoder(setting, "vit-b", 8, vec![Goal::Rate(366.0)]),
        step(setting, "vit-h", 8, vec![Goal::Eager(2.0), Goal::Peak(PEAK)]),
        grid(setting, "vit-h", 9, vec![Goal::Milliseconds(5.0)]),
        grid(setting, "vit-b", 9, vec![Goal::Milliseconds(5.0)]),
    ]
}

fn repetitions(setting: &Setting<'_>, host: bool) -> Repetitions {
    let (warm, count) = if setting.quick { (1, 3) } else { (5, 25) };
    Repetitions { warm, count, each: 1, host }
}

fn precision(device: &Device) -> Precision {
    if device.is_cpu() { Precision::F32 } else { Precision::Bf16 }
}

fn encoder<'a>(
    setting: &Setting<'a>,
    preset: &'static str,
    batch: usize,
    goals: Vec<Goal>,
) -> Subject<'a> {
    let device = setting.device;
    let make = move || -> Result<super::Work> {
        let config = VitConfig::preset(preset)?;
        let side = config.input_side;
        let model = config.build_in(random::parameters(device), precision(device))?;
        let pixels = random::numbers(&[batch, 3, side, side], device)?;
        Ok(Box::new(move || {
            black_box(model.encode(&pixels)?);
            Ok(())
        }))
    };
    Subject {
        name: format!("image encoder {preset}, batch {batch}"),
        items: Some((batch as f64, "images")),
        make: Box::new(make),
        request: json!({ "kind": "encoder", "preset": preset, "batch": batch }),
        parties: ALL,
        repetitions: repetitions(setting, false),
        goals,
    }
}

fn step<'a>(
    setting: &Setting<'a>,
    preset: &'static str,
    batch: usize,
    goals: Vec<Goal>,
) -> Subject<'a> {
    let device = setting.device;
    let make = move || -> Result<super::Work> {
        let config = VitConfig::preset(preset)?;
        let mut step = Step::new(&config, batch, precision(device), device)?;
        Ok(Box::new(move || step.run()))
    };
    Subject {
        name: format!("training step, {preset}, batch {batch}"),
        items: Some((batch as f64, "slices")),
        make: Box::new(make),
        request: json!({ "kind": "step", "preset": preset, "batch": batch }),
        parties: PLAIN,
        repetitions: repetitions(setting, false),
        goals,
    }
}

fn grid<'a>(
    setting: &Setting<'a>,
    preset: &'static str,
    points: usize,
    goals: Vec<Goal>,
) -> Subject<'a> {
    let device = setting.device;
    let make = move || -> Result<super::Work> {
        let config = VitConfig::preset(preset)?;
        let slice = Slice::new(&config, points, precision(device), device)?;
        Ok(Box::new(move || {
            black_box(slice.run()?);
            Ok(())
        }))
    };
    Subject {
        name: format!("a slice by {points}×{points} points, {preset}"),
        items: None,
        make: Box::new(make),
        request: json!({ "kind": "grid", "preset": preset, "points": points }),
        parties: EAGER,
        repetitions: repetitions(setting, true),
        goals,
    }
}
