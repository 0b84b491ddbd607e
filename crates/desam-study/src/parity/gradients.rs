//! Gradient check: the gradients of the first step against double precision.

use super::compare::{self, Comparison, distance, furthest, norm, worst};
use super::official_model::OfficialModel;
use super::reference_vectors::TrainingVectors;
use super::report::{GradientCheck, Stage};
use crate::Result;
use candle_core::backprop::GradStore;

/// Gradients whose norm is below this share of the largest are rounding noise (key biases,
/// squeeze-and-excitation): only their norm is checked.
const NOISE: f64 = 1e-5;

/// Relative error limit of a gradient, or three times PyTorch's own f32 error if that is larger.
const GRADIENT: f64 = 1e-4;

/// Largest accepted error of PyTorch's f32 against its own double precision, over gradients and steps. Our
/// limits are multiples of that error, so a damaged reference must not widen them.
pub(super) const MAX_REFERENCE_ERROR: f64 = 0.05;

/// Compares every `grad0.*` of the reference, tensor by tensor.
pub(super) fn gradients(
    model: &OfficialModel,
    grads: &GradStore,
    files: TrainingVectors<'_>,
) -> Result<Vec<GradientCheck>> {
    let mut reference = Vec::new();
    for name in files.double.between("grad0.", "") {
        reference.push((name, files.double.numbers(&format!("grad0.{name}"))?));
    }
    let largest = reference.iter().map(|(_, g)| norm(g)).fold(0.0, f64::max);
    if !(largest > 0.0 && largest.is_finite()) {
        return Err(files.double.wrong("holds no grad0.* with a norm above 0"));
    }
    let mut checks = Vec::new();
    for (name, exact) in &reference {
        let Some(var) = model.decoder.vars.get(&format!("mask_decoder.{name}")) else {
            return Err(files
                .double
                .wrong(format!("grad0.{name}: the model has no such parameter")));
        };
        let ours = match grads.get(var.as_tensor()) {
            Some(grad) => compare::numbers(grad)?,
            None => vec![0.0; exact.len()],
        };
        let own = files.single.numbers(&format!("grad0.{name}"))?;
        let noise = norm(exact) < NOISE * largest;
        let (largest_of_ours, largest_of_own) = (furthest(&ours, exact), furthest(&own, exact));
        let (ours, pytorch, limit) = if noise {
            (norm(&ours) / largest, norm(&own) / largest, NOISE)
        } else {
            let (ours, own) = (distance(&ours, exact), distance(&own, exact));
            let own = own / norm(exact);
            (ours / norm(exact), own, GRADIENT.max(3.0 * own))
        };
        checks.push(GradientCheck {
            name: (*name).to_owned(),
            share: norm(exact) / largest,
            ours,
            pytorch,
            largest: largest_of_ours,
            pytorch_largest: largest_of_own,
            limit,
            noise,
            passed: ours <= limit,
        });
    }
    // Parameters without a gradient in the reference must not have one here either.
    for (name, var) in &model.decoder.vars {
        let name = name.strip_prefix("mask_decoder.").unwrap_or(name);
        let known = files.double.has(&format!("grad0.{name}"));
        if let (false, Some(grad)) = (known, grads.get(var.as_tensor())) {
            let grad = compare::numbers(grad)?;
            let ours = norm(&grad) / largest;
            let name = format!("{name} (has no gradient in the reference)");
            let check = GradientCheck {
                name,
                share: 0.0,
                ours,
                pytorch: 0.0,
                largest: furthest(&grad, &vec![0.0; grad.len()]),
                pytorch_largest: 0.0,
                limit: 0.0,
                noise: true,
                passed: false,
            };
            checks.push(check);
        }
    }
    Ok(checks)
}

/// Compares the gradients of PRIM and of PIMM, each as one vector.
pub(super) fn whole(
    model: &OfficialModel,
    grads: &GradStore,
    files: TrainingVectors<'_>,
    limits: [f64; 2],
) -> Result<Vec<Stage>> {
    let [mut prim, mut pimm]: [(Vec<f64>, Vec<f64>); 2] = Default::default();
    for name in files.double.between("grad0.", "") {
        let (ours, exact) = if name.starts_with("pimm.") { &mut pimm } else { &mut prim };
        let reference = files.double.numbers(&format!("grad0.{name}"))?;
        let var = model.decoder.vars.get(&format!("mask_decoder.{name}"));
        match var.and_then(|v| grads.get(v.as_tensor())) {
            Some(grad) => ours.extend(compare::numbers(grad)?),
            None => ours.extend(vec![0.0; reference.len()]),
        }
        exact.extend(reference);
    }
    let rows = [("PRIM", prim), ("PIMM", pimm)].into_iter().zip(limits);
    Ok(rows
        .map(|((name, (ours, exact)), limit)| {
            let mut compared = Comparison::default();
            compared.values(&ours, &exact);
            compared.relative(format!("gradients of {name}, as one vector"), limit)
        })
        .collect())
}

/// Three stages for all gradients: the significant ones, the noise, and the reference's own error.
pub(super) fn summary(model: &OfficialModel, checks: &[GradientCheck]) -> Vec<Stage> {
    let elements = |noise: bool| {
        let of = checks.iter().filter(move |c| c.noise == noise);
        of.filter_map(|c| model.decoder.vars.get(&format!("mask_decoder.{}", c.name)))
            .map(|v| v.as_tensor().elem_count())
            .sum::<usize>()
    };
    let mut stages = Vec::new();
    for (noise, what) in [(false, "gradients"), (true, "gradients that are noise")] {
        let group = || checks.iter().filter(|c| c.noise == noise);
        let load = |c: &GradientCheck| if c.passed { c.ours / c.limit } else { f64::INFINITY };
        let Some(nearest) = group().max_by(|a, b| load(a).total_cmp(&load(b))) else {
            continue;
        };
        let compared = Comparison {
            elements: elements(noise),
            relative: nearest.ours,
            largest: group().map(|c| c.largest).fold(0.0, worst),
            note: format!("PyTorch f32 {:.1e} ({})", nearest.pytorch, nearest.name),
        };
        let name = format!("{what}, {} tensors", group().count());
        stages.push(compared.relative(name, nearest.limit));
    }
    let mut own = Comparison { elements: elements(false), ..Comparison::default() };
    for check in checks {
        // Noise has no direction: its norm is held to the limit of ours.
        own.include_relative(if check.noise {
            check.pytorch / NOISE * MAX_REFERENCE_ERROR
        } else {
            check.pytorch
        });
        own.largest = worst(own.largest, check.pytorch_largest);
    }
    own.note = "what the limits above lean on".into();
    stages.push(own.relative("PyTorch f32 gradients against f64", MAX_REFERENCE_ERROR));
    stages
}
