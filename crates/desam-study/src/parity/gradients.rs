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

/// The reference of one gradient.
pub(super) struct Reference<'a> {
    /// In double precision.
    pub(super) exact: &'a [f64],
    /// PyTorch's in single precision, where the reference has it.
    pub(super) own: Option<&'a [f64]>,
    /// The largest norm of all gradients in double precision.
    pub(super) largest: f64,
}

/// The largest norm of some gradients, if it is above 0 and finite.
pub(super) fn largest_norm<'a>(gradients: impl Iterator<Item = &'a [f64]>) -> Option<f64> {
    let largest = gradients.map(norm).fold(0.0, f64::max);
    (largest > 0.0 && largest.is_finite()).then_some(largest)
}

/// Checks one gradient.
pub(super) fn check(name: &str, ours: &[f64], reference: &Reference<'_>) -> GradientCheck {
    let Reference { exact, own, largest } = *reference;
    let noise = norm(exact) < NOISE * largest;
    let (largest_of_ours, largest_of_own) =
        (furthest(ours, exact), own.map_or(0.0, |own| furthest(own, exact)));
    let (ours, pytorch, limit) = if noise {
        (norm(ours) / largest, own.map_or(0.0, norm) / largest, NOISE)
    } else {
        let own = own.map_or(0.0, |own| distance(own, exact)) / norm(exact);
        (distance(ours, exact) / norm(exact), own, GRADIENT.max(3.0 * own))
    };
    GradientCheck {
        name: name.to_owned(),
        share: norm(exact) / largest,
        ours,
        pytorch,
        largest: largest_of_ours,
        pytorch_largest: largest_of_own,
        limit,
        noise,
        passed: ours <= limit,
    }
}

impl GradientCheck {
    /// The failed check of a parameter that has no gradient in the reference.
    pub(super) fn unexpected(name: String, grad: &[f64], largest: f64) -> Self {
        Self {
            name: format!("{name} (has no gradient in the reference)"),
            share: 0.0,
            ours: norm(grad) / largest,
            pytorch: 0.0,
            largest: furthest(grad, &vec![0.0; grad.len()]),
            pytorch_largest: 0.0,
            limit: 0.0,
            noise: true,
            passed: false,
        }
    }
}

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
    let Some(largest) = largest_norm(reference.iter().map(|(_, g)| g.as_slice())) else {
        return Err(files.double.wrong("holds no grad0.* with a norm above 0"));
    };
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
        checks.push(check(name, &ours, &Reference { exact, own: Some(&own), largest }));
    }
    // Parameters without a gradient in the reference must not have one here either.
    for (name, var) in &model.decoder.vars {
        let name = name.strip_prefix("mask_decoder.").unwrap_or(name);
        let known = files.double.has(&format!("grad0.{name}"));
        if let (false, Some(grad)) = (known, grads.get(var.as_tensor())) {
            let grad = compare::numbers(grad)?;
            checks.push(GradientCheck::unexpected(name.to_owned(), &grad, largest));
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
    let elements = [false, true].map(|noise| {
        let of = checks.iter().filter(move |c| c.noise == noise);
        of.filter_map(|c| model.decoder.vars.get(&format!("mask_decoder.{}", c.name)))
            .map(|v| v.as_tensor().elem_count())
            .sum::<usize>()
    });
    summary_of("", checks, elements)
}

/// The stages of [`summary`] with `subject` in front of their names, for gradients of so many elements:
/// significant ones, noise.
pub(super) fn summary_of(
    subject: &str,
    checks: &[GradientCheck],
    elements: [usize; 2],
) -> Vec<Stage> {
    // Where the reference has no f32 gradient its error counts as 0.
    let has_own = |check: &GradientCheck| check.pytorch > 0.0;
    let titled = |what: &str| format!("{subject} {what}").trim_start().to_owned();
    let mut stages = Vec::new();
    let kinds = ["gradients", "gradients that are noise"].into_iter().zip(elements);
    for ((what, elements), noise) in kinds.zip([false, true]) {
        let group = || checks.iter().filter(|c| c.noise == noise);
        let load = |c: &GradientCheck| if c.passed { c.ours / c.limit } else { f64::INFINITY };
        let Some(nearest) = group().max_by(|a, b| load(a).total_cmp(&load(b))) else {
            continue;
        };
        let compared = Comparison {
            elements,
            relative: nearest.ours,
            largest: group().map(|c| c.largest).fold(0.0, worst),
            note: if has_own(nearest) {
                format!("PyTorch f32 {:.1e} ({})", nearest.pytorch, nearest.name)
            } else {
                nearest.name.clone()
            },
        };
        let name = titled(&format!("{what}, {} tensors", group().count()));
        stages.push(compared.relative(name, nearest.limit));
    }
    if !checks.iter().any(has_own) {
        return stages;
    }
    let mut own = Comparison { elements: elements[0], ..Comparison::default() };
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
    let name = titled("PyTorch f32 gradients against f64");
    stages.push(own.relative(name, MAX_REFERENCE_ERROR));
    stages
}
