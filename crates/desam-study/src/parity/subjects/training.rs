//! Steps of AdamW from the initial model of a subject: losses, rates, and how far parameters move.

use super::super::compare::{self, Comparison};
use super::super::limits::LOSS;
use super::super::losses::scalar;
use super::super::reference_vectors::ReferenceVectors;
use super::super::report::Stage;
use crate::Result;
use crate::train::{AdapterOptimizer, WarmupPoly};
use candle_core::Var;
use desam_metrics::loss::CeDice;
use std::collections::BTreeMap;

/// AdamW's first steps are as long as the rate, whatever the gradient's size: an element moves in a
/// definite direction only where its gradient is clear of 0, here above this share of the largest of
/// its tensor.
const CLEAR: f64 = 1e-2;

/// Relative error limit of the movement of all clear elements, as one vector. f32 gradients are a few 1e-6
/// of a tensor's norm from double precision; an element at 1 % of the largest moves with a hundred times
/// that error, most with less.
const MOVED: f64 = 2e-4;

/// The training that the vectors repeat.
pub(super) struct Training<'a> {
    pub(super) subject: &'a str,
    pub(super) schedule: WarmupPoly,
    /// Index of each step's batch.
    pub(super) batches: &'a [usize],
}

/// Repeats the training with `loss` of a batch, which changes `vars`.
pub(super) fn compare_training(
    training: &Training<'_>,
    file: &ReferenceVectors,
    vars: &BTreeMap<String, Var>,
    loss: impl Fn(usize) -> Result<CeDice>,
) -> Result<Vec<Stage>> {
    let Training { subject, schedule, batches } = training;
    let mut before = BTreeMap::new();
    for (name, var) in vars {
        before.insert(name, compare::numbers(var.as_tensor())?);
    }
    let [mut rates, mut single, mut double]: [Comparison; 3] = Default::default();
    let rows = [(&mut single, "train.f32.losses"), (&mut double, "train.f64.losses")];
    let mut found = Vec::new();
    let mut optimizer = AdapterOptimizer::new(*schedule);
    for batch in *batches {
        let value = loss(*batch)?;
        let terms = [scalar(&value.total)?, scalar(&value.ce)?, scalar(&value.dice)?];
        found.push((optimizer.step(vars, &value.total)?, terms));
    }
    for (compared, name) in rows {
        let [steps, columns] = file.dims(name)?;
        if steps != found.len() || columns != 4 {
            let why = format!("{name} is [{steps}, {columns}], expected [{}, 4]", found.len());
            return Err(file.wrong(why));
        }
        for (row, (rate, terms)) in file.numbers(name)?.chunks(columns).zip(&found) {
            if let [expected, losses @ ..] = row {
                rates.values(&[*rate], &[*expected]);
                for (found, expected) in terms.iter().zip(losses) {
                    compared.values(&[*found], &[*expected]);
                }
            }
        }
    }
    let count = batches.len();
    let mut stages = vec![
        rates.relative(format!("{subject} learning rates"), 1e-12),
        single.relative(format!("{subject} losses of {count} steps"), LOSS),
        double.relative(format!("{subject} losses of {count} steps in f64"), LOSS),
    ];
    stages.push(movement(training, file, vars, &before)?);
    Ok(stages)
}

/// Compares how far the parameters moved where their gradients are clear of 0.
fn movement(
    training: &Training<'_>,
    file: &ReferenceVectors,
    vars: &BTreeMap<String, Var>,
    before: &BTreeMap<&String, Vec<f64>>,
) -> Result<Stage> {
    let (mut ours, mut exact, mut all) = (Vec::new(), Vec::new(), 0);
    for name in file.between("train.f64.delta.", "").map(str::to_owned).collect::<Vec<_>>() {
        let delta = file.numbers(&format!("train.f64.delta.{name}"))?;
        let (Some(var), Some(before)) = (vars.get(&name), before.get(&name)) else {
            return Err(file.wrong(format!("delta of {name}: the model has none such")));
        };
        let gradient = format!("f64.grad.{name}");
        // What has no gradient must not move, not even by weight decay.
        let gradient =
            if file.has(&gradient) { file.numbers(&gradient)? } else { vec![1.0; delta.len()] };
        let moved = compare::numbers(var.as_tensor())?;
        if [moved.len(), before.len(), gradient.len()].iter().any(|n| *n != delta.len()) {
            let why = format!("{name}: {} numbers in the model, not {}", moved.len(), delta.len());
            return Err(file.wrong(why));
        }
        let largest = gradient.iter().fold(0.0f64, |a, g| a.max(g.abs()));
        let is_noise = largest < 1e-9;
        all += delta.len();
        for (((after, before), delta), gradient) in
            moved.iter().zip(before).zip(&delta).zip(&gradient)
        {
            if !is_noise && gradient.abs() >= CLEAR * largest {
                ours.push(after - before);
                exact.push(*delta);
            }
        }
    }
    let mut compared = Comparison::default();
    compared.values(&ours, &exact);
    compared.note = format!("{} of {all} elements, gradients clear of 0", exact.len());
    let count = training.batches.len();
    Ok(compared.relative(format!("{} {count} steps of AdamW", training.subject), MOVED))
}
