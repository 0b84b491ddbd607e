//! Gradient check of a subject: every gradient of its file against double precision.

use super::super::compare;
use super::super::gradients::{Reference, check, largest_norm, summary_of};
use super::super::reference_vectors::ReferenceVectors;
use super::super::report::{GradientCheck, Stage};
use crate::Result;
use candle_core::Var;
use candle_core::backprop::GradStore;
use std::collections::BTreeMap;

/// Gradients of a model's variables.
pub(super) struct Found<'a> {
    pub(super) subject: &'a str,
    pub(super) vars: &'a BTreeMap<String, Var>,
    pub(super) grads: &'a GradStore,
}

/// The prefixes of gradients in a file: in double precision, and PyTorch's own in single.
#[derive(Clone, Copy)]
pub(super) struct Prefixes {
    pub(super) exact: &'static str,
    pub(super) own: &'static str,
}

/// Compares all gradients of the file, and that no other variable has one. PyTorch's own f32 gradient may
/// be missing; the limit does not depend on it then.
pub(super) fn compare_gradients(
    found: &Found<'_>,
    file: &ReferenceVectors,
    prefixes: Prefixes,
) -> Result<(Vec<GradientCheck>, Vec<Stage>)> {
    let mut reference = BTreeMap::new();
    for name in file.between(prefixes.exact, "") {
        reference.insert(name.to_owned(), file.numbers(&format!("{}{name}", prefixes.exact))?);
    }
    let Some(largest) = largest_norm(reference.values().map(Vec::as_slice)) else {
        return Err(file.wrong(format!("holds no {}* with a norm above 0", prefixes.exact)));
    };
    let mut checks = Vec::new();
    let mut elements = [0, 0];
    for (name, exact) in &reference {
        let Some(var) = found.vars.get(name) else {
            let why = format!("{}{name}: the model has no such parameter", prefixes.exact);
            return Err(file.wrong(why));
        };
        let ours = match found.grads.get(var.as_tensor()) {
            Some(grad) => compare::numbers(grad)?,
            None => vec![0.0; exact.len()],
        };
        let own = format!("{}{name}", prefixes.own);
        let own = if file.has(&own) { Some(file.numbers(&own)?) } else { None };
        let reference = Reference { exact, own: own.as_deref(), largest };
        let check = check(&format!("{} {name}", found.subject), &ours, &reference);
        elements[usize::from(check.noise)] += exact.len();
        checks.push(check);
    }
    for (name, var) in found.vars.iter().filter(|(name, _)| !reference.contains_key(*name)) {
        if let Some(grad) = found.grads.get(var.as_tensor()) {
            let grad = compare::numbers(grad)?;
            checks.push(GradientCheck::unexpected(
                format!("{} {name}", found.subject),
                &grad,
                largest,
            ));
        }
    }
    let stages = summary_of(found.subject, &checks, elements);
    Ok((checks, stages))
}
