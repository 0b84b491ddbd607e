//! Steps of training: losses, gradients, what Adam makes of them.

use super::compare::{self, Comparison};
use super::gradients::{self, OWN};
use super::limits::Limits;
use super::losses::{scalar, term};
use super::model::Official;
use super::report::{GradientCheck, Skipped, Stage};
use super::vectors::Vectors;
use crate::Result;
use crate::train::{Adam, AdamConfig};
use candle_core::DType;
use desam_core::{
    Loss, LossTarget, LossValue, MaskDecoder, MaskPrediction, Point, PromptEncoder, Prompts,
};
use desam_metrics::loss::LossConfig;
use std::collections::BTreeMap;

/// What the file of losses says of each step, in its order.
const TERMS: [&str; 4] = ["total", "dice", "bce", "mse"];

/// The files of the training stages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) single: &'a Vectors,
    pub(super) double: &'a Vectors,
    /// Holds the targets.
    pub(super) encoder: &'a Vectors,
}

/// The stages, and the gradients one by one.
pub(super) struct Training {
    pub(super) stages: Vec<Stage>,
    pub(super) gradients: Vec<GradientCheck>,
    pub(super) skipped: Vec<Skipped>,
}

/// All steps of the reference on a model that has not been trained. Moves the model's parameters.
///
/// In bf16 the gradients of PRIM and of PIMM are compared as one vector each. A tensor's own may lie on
/// differences that f32 itself has to three digits only, and Adam's first steps take the sign of every number, however small:
/// neither says anything about the arithmetic.
pub(super) fn training(model: &Official, limits: &Limits, files: Files<'_>) -> Result<Training> {
    let vars = &model.decoder.vars;
    let mut before: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, var) in vars {
        before.insert(name, compare::numbers(var.as_tensor())?);
    }
    let mut out = Training { stages: Vec::new(), gradients: Vec::new(), skipped: Vec::new() };
    let rows = Rows::read(files)?;
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
    out.stages.extend(steps(model, files, (&before, rows.0.len()))?);
    Ok(out)
}

/// A row of `losses` and the distance of its total from double precision.
struct Row {
    rate: f64,
    terms: [f64; 4],
    own: f64,
}

struct Rows(Vec<Row>);

impl Rows {
    fn read(files: Files<'_>) -> Result<Self> {
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
                Some(Row { rate, terms: [total, dice, bce, mse], own })
            }
            _ => None,
        };
        let rows: Vec<Row> = values.chunks(columns).zip(&exact).filter_map(row).collect();
        if let Some(odd) = rows.iter().find(|r| r.own.is_nan() || r.own > OWN) {
            let why = format!("a total of losses is {:.1e} from double precision", odd.own);
            return Err(files.single.wrong(format!("{why}: one of the two files is damaged")));
        }
        Ok(Self(rows))
    }
}

fn forward(model: &Official, files: Files<'_>, step: usize) -> Result<(MaskPrediction, LossValue)> {
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
    // The loss is f32, whatever the model is.
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

/// What the model says at step 0, against both precisions.
fn predictions(found: &MaskPrediction, limits: &Limits, files: Files<'_>) -> Result<Vec<Stage>> {
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

/// What the steps have moved, over all parameters, against double precision.
fn steps(
    model: &Official,
    files: Files<'_>,
    (before, count): (&BTreeMap<&str, Vec<f64>>, usize),
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
    // Twice PyTorch's own distance from double precision.
    let limit = 2.0 * reference.relative;
    Ok(vec![
        found.relative(format!("steps of Adam, {count}"), limit),
        reference.relative("PyTorch f32 steps against f64", OWN),
    ])
}
