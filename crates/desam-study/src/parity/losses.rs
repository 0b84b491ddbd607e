//! Stages of the losses: terms, totals of the paper and the official program, and gradients.

use super::compare::{self, Comparison};
use super::reference_vectors::ReferenceVectors;
use super::report::Stage;
use crate::Result;
use candle_core::{Tensor, Var};
use desam_core::{Loss, LossTarget, LossValue, MaskPrediction};
use desam_metrics::loss::LossConfig;
use serde::Deserialize;

/// Relative error limit of the gradient with respect to logits or IoU.
const GRADIENT: f64 = 1e-4;

/// One case of `losses.json`.
#[derive(Debug, Deserialize)]
pub(super) struct LossCase {
    case: usize,
    dice: f64,
    bce: f64,
    mse: f64,
    l1: f64,
    paper_points: f64,
    paper_box: f64,
}

/// Compares every case; one stage for each quantity.
pub(super) fn losses(
    file: &ReferenceVectors,
    cases: &[LossCase],
    limit: f64,
) -> Result<Vec<Stage>> {
    let names = ["dice", "bce", "mse", "l1"];
    let totals = ["paper points", "paper box", "official points", "official box"];
    let mut rows: Vec<Comparison> = vec![Comparison::default(); names.len() + totals.len()];
    let (mut logits, mut iou) = (Comparison::default(), Comparison::default());
    for case in cases {
        let wrong = |e: &dyn std::fmt::Display| file.wrong(format!("case {}: {e}", case.case));
        let get = |name: &str| file.f32(&format!("{}.{name}", case.case));
        let (x, y) = (Var::from_tensor(&get("logits")?)?, Var::from_tensor(&get("iou")?)?);
        let prediction = MaskPrediction::new(x.as_tensor().clone(), y.as_tensor().clone());
        let target = LossTarget { mask: get("target")?, iou: Some(get("iou_target")?) };
        let run = |config: LossConfig| -> Result<LossValue> {
            config.build()?.forward(&prediction, &target).map_err(|e| wrong(&e))
        };
        let points = run(LossConfig::paper_points())?;
        let official = run(LossConfig::official_points())?;
        let found = [
            term(&points, "dice")?,
            term(&points, "bce")?,
            term(&points, "mse")?,
            term(&official, "l1")?,
            scalar(&points.total)?,
            scalar(&run(LossConfig::paper_box())?.total)?,
            scalar(&official.total)?,
            scalar(&run(LossConfig::official_box())?.total)?,
        ];
        // The official program's own totals are sums of the reference's parts.
        let sum = case.dice + case.l1;
        let (points_total, box_total) = (case.paper_points, case.paper_box);
        let expected =
            [case.dice, case.bce, case.mse, case.l1, points_total, box_total, sum, case.dice];
        for (row, (found, expected)) in rows.iter_mut().zip(found.iter().zip(&expected)) {
            row.values(&[*found], &[*expected]);
        }
        let grads = points.total.backward().map_err(|e| wrong(&e))?;
        for (row, var, name) in [(&mut logits, &x, "grad_logits"), (&mut iou, &y, "grad_iou")] {
            match grads.get(var.as_tensor()) {
                Some(grad) => row.tensors(grad, &get(name)?)?,
                None => row.fail("there is no gradient"),
            }
        }
    }
    let names = names.into_iter().map(|n| format!("loss {n}"));
    let names = names.chain(totals.into_iter().map(|n| format!("loss total, {n}")));
    let mut stages: Vec<Stage> = names.zip(rows).map(|(n, row)| row.relative(n, limit)).collect();
    stages.push(logits.relative("loss gradient on logits", GRADIENT));
    stages.push(iou.relative("loss gradient on IoU", GRADIENT));
    Ok(stages)
}

/// A scalar in double precision.
pub(super) fn scalar(t: &Tensor) -> candle_core::Result<f64> {
    match compare::numbers(t)?.as_slice() {
        [value] => Ok(*value),
        other => candle_core::bail!("a loss of {} numbers", other.len()),
    }
}

/// A term by name; NaN where the loss has no such term, which fails its stage.
pub(super) fn term(value: &LossValue, name: &str) -> candle_core::Result<f64> {
    let term = value.terms.iter().find(|t| t.name == name);
    term.map_or(Ok(f64::NAN), |t| scalar(&t.value))
}
