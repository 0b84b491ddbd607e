//! Stages of training: losses, gradients, optimizer steps.

use super::compare::{self, Comparison};
use super::gradients::{self, MAX_REFERENCE_ERROR};
use super::limits::Limits;
use super::losses::{scalar, term};
use super::official_model::OfficialModel;
use super::reference_vectors::TrainingVectors;
use super::report::{GradientCheck, Skipped, Stage};
use crate::Result;
use crate::train::{Adam, AdamConfig};
use candle_core::DType;
use desam_core::{
    Loss, LossTarget, LossValue, MaskDecoder, MaskPrediction, Point, PromptEncoder, Prompts,
};
use desam_metrics::loss::LossConfig;
use std::collections::BTreeMap;

/// Loss terms of each step, in the order of the file.
const TERMS: [&str; 4] = ["total", "dice", "bce", "mse"];

/// The training stages, with the gradient checks.
pub(super) struct TrainingStages {
    pub(super) stages: Vec<Stage>,
    pub(super) gradients: Vec<GradientCheck>,
    pub(super) skipped: Vec<Skipped>,
}

/// Repeats all steps of the reference on the initial model, which updates its parameters.
///
/// In bf16 the gradients of PRIM and of PIMM are compared as one vector each. A single tensor's gradient may
/// depend on differences that even f32 resolves to three digits only, and Adam's first steps take the sign of
/// every element, however small: neither would say anything about the arithmetic.
pub(super) fn training(
    model: &OfficialModel,
    limits: &Limits,
    files: TrainingVectors<'_>,
) -> Result<TrainingStages> {
    let vars = &model.decoder.vars;
    let mut before: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, var) in vars {
        before.insert(name, compare::numbers(var.as_tensor())?);
    }
    let mut out = TrainingStages { stages: Vec::new(), gradients: Vec::new(), skipped: Vec::new() };
    let rows = LossRows::read(files)?;
    let (mut first, mut later): ([Comparison; 4], Comparison) = Default::default();
    let mut later_limit = limits.loss;
    let (mut adam, mut whole) = (Adam::new(AdamConfig::default()), Vec::new());
    for (step, row) in rows.0.iter().enumerate() {
        let (prediction, value) = forward(model, files, step)?;
        let found = [
            scalar(&value.total)?,
            term(&value, "dice")?,
            term(&value, "bce")?,
            term(&value, "mse")?,
        ];
        for ((compared, found), expected) in first.iter_mut().zip(found).zip(row.terms) {
            let compared = if step == 0 { compared } else { &mut later };
            compared.values(&[found], &[expected]);
        }
        let grads = value.total.backward()?;
        if step == 0 {
            out.stages.extend(predictions(&prediction, limits, files)?);
            match limits.gradients {
                None => out.gradients = gradients::gradients(model, &grads, files)?,
                Some(limits) => whole = gradients::whole(model, &grads, files, limits)?,
            }
        } else {
            later_limit = later_limit.max(3.0 * row.own);
        }
        adam.step(vars, &grads, row.rate)?;
    }
    for (compared, name) in first.into_iter().zip(TERMS) {
        out.stages.push(compared.relative(format!("step 0 {name}"), limits.loss));
    }
    if rows.0.len() > 1 {
        let name = format!("losses of steps 1 to {}", rows.0.len() - 1);
        out.stages.push(later.relative(name, later_limit));
    }
    if !whole.is_empty() {
        out.stages.extend(whole);
        let reason = format!("they say nothing about {}: see docs/gpu.md", limits.precision);
        for what in ["gradients one by one", "what Adam's steps move"] {
            out.skipped.push(Skipped { what: what.into(), reason: reason.clone() });
        }
        return Ok(out);
    }
    out.stages.extend(gradients::summary(model, &out.gradients));
    out.stages.extend(updates(model, files, &before, rows.0.len())?);
    Ok(out)
}

/// A row of `losses`, and the error of its total against double precision.
struct LossRow {
    rate: f64,
    terms: [f64; 4],
    own: f64,
}

struct LossRows(Vec<LossRow>);

impl LossRows {
    fn read(files: TrainingVectors<'_>) -> Result<Self> {
        let [steps, columns] = files.single.dims("losses")?;
        let (values, exact) = (files.single.numbers("losses")?, files.double.numbers("losses")?);
        if steps == 0 || columns != 5 || exact.len() != steps {
            let why = format!(
                "losses are [{steps}, {columns}] here and {} totals in double precision: expected \
                 [steps, 5] (lr, total, dice, bce, mse) and one total a step",
                exact.len()
            );
            return Err(files.single.wrong(why));
        }
        let row = |(row, exact): (&[f64], &f64)| match *row {
            [rate, total, dice, bce, mse] => {
                let own = (total - exact).abs() / exact.abs();
                Some(LossRow { rate, terms: [total, dice, bce, mse], own })
            }
            _ => None,
        };
        let rows: Vec<LossRow> = values.chunks(columns).zip(&exact).filter_map(row).collect();
        if let Some(odd) = rows.iter().find(|r| r.own.is_nan() || r.own > MAX_REFERENCE_ERROR) {
            let why = format!("a total of losses is {:.1e} from double precision", odd.own);
            return Err(files.single.wrong(format!("{why}: one of the two files is damaged")));
        }
        Ok(Self(rows))
    }
}

fn forward(
    model: &OfficialModel,
    files: TrainingVectors<'_>,
    step: usize,
) -> Result<(MaskPrediction, LossValue)> {
    let wrong = |e: candle_core::Error| files.single.wrong(format!("step {step}: {e}"));
    let index = files.single.get(&format!("index{step}"))?;
    let name = format!("points{step}");
    let [_, 2] = files.single.dims(&name)? else {
        return Err(files.single.wrong(format!("{name}: expected points as [B, 2]")));
    };
    let points = files.single.numbers(&name)?;
    let points = points.chunks(2).filter_map(|p| match *p {
        [x, y] => Some(Point::foreground(x as f32, y as f32)),
        _ => None,
    });
    let points = Prompts::points(&points.collect::<Vec<_>>())?;
    let dtype = model.precision.dtype();
    let prompts = model.prompt.encode(&points).and_then(|p| p.to_dtype(dtype)).map_err(wrong)?;
    let features = model.features(files.single, index)?;
    let (decoder, position) = (&model.decoder.module, model.prompt.dense_pe().to_dtype(dtype)?);
    let found = decoder.decode(&features, &position, &prompts).map_err(wrong)?;
    // The loss is f32 in any precision.
    let logits = found.logits.to_dtype(DType::F32)?;
    let found = MaskPrediction { logits, iou: found.iou.to_dtype(DType::F32)?, ..found };
    let mask = files.encoder.get("gts_u8")?.index_select(index, 0);
    let mask = mask.and_then(|m| files.encoder.put(&m.unsqueeze(1)?)).map_err(wrong)?;
    let iou = files.single.f32(&format!("iou_label{step}"))?;
    let target = LossTarget { mask, iou: Some(iou) };
    let loss = LossConfig::paper_points().build()?;
    let value = loss.forward(&found, &target).map_err(wrong)?;
    Ok((found, value))
}

/// Compares the predictions at step 0 with both precisions of the reference.
fn predictions(
    found: &MaskPrediction,
    limits: &Limits,
    files: TrainingVectors<'_>,
) -> Result<Vec<Stage>> {
    let mut stages = Vec::new();
    for (file, what) in [(files.single, ""), (files.double, " in f64")] {
        for (name, found) in [("mask0", &found.logits), ("iou0", &found.iou)] {
            let mut compared = Comparison::default();
            compared.tensors(found, file.get(name)?)?;
            let name = name.trim_end_matches('0');
            stages.push(compared.relative(format!("step 0 {name}{what}"), limits.untrained));
        }
    }
    Ok(stages)
}

/// Compares the parameter updates of all steps with double precision.
fn updates(
    model: &OfficialModel,
    files: TrainingVectors<'_>,
    before: &BTreeMap<&str, Vec<f64>>,
    count: usize,
) -> Result<Vec<Stage>> {
    let (mut ours, mut own, mut exact) = (Vec::new(), Vec::new(), Vec::new());
    for name in files.double.between(&format!("delta{count}."), "") {
        let full = format!("mask_decoder.{name}");
        let (Some(var), Some(before)) = (model.decoder.vars.get(&full), before.get(full.as_str()))
        else {
            return Err(files.double.wrong(format!("delta of {name}: the model has none such")));
        };
        let delta = files.double.numbers(&format!("delta{count}.{name}"))?;
        let after = files.single.numbers(&format!("param{count}.{name}"))?;
        if delta.len() != before.len() || after.len() != before.len() {
            let why = format!("{name}: {} numbers in the model, not {}", before.len(), delta.len());
            return Err(files.double.wrong(why));
        }
        let moved = compare::numbers(var.as_tensor())?;
        ours.extend(moved.iter().zip(before).map(|(a, b)| a - b));
        own.extend(after.iter().zip(before).map(|(a, b)| a - b));
        exact.extend(delta);
    }
    if exact.is_empty() {
        return Err(files.double.wrong(format!("holds no delta{count}.*, after the last step")));
    }
    let (mut found, mut reference) = (Comparison::default(), Comparison::default());
    found.values(&ours, &exact);
    reference.values(&own, &exact);
    found.note = format!("PyTorch f32 {:.1e}", reference.relative);
    reference.note = "what the limit above leans on".into();
    // Twice PyTorch's own error against double precision.
    let limit = 2.0 * reference.relative;
    Ok(vec![
        found.relative(format!("steps of Adam, {count}"), limit),
        reference.relative("PyTorch f32 steps against f64", MAX_REFERENCE_ERROR),
    ])
}
