//! Gradients that are too long are shortened.

use crate::Result;
use candle_core::Var;
use candle_core::backprop::GradStore;
use desam_nn::ops::adam::square_sum_all;
use std::collections::BTreeMap;

/// Added to the length, as PyTorch's `clip_grad_norm_` has it.
const BESIDE_ZERO: f64 = 1e-6;

/// Euclidean length of all gradients together, in double precision and in the order of names.
///
/// # Errors
/// When a tensor operation fails.
pub fn gradient_norm(vars: &BTreeMap<String, Var>, grads: &GradStore) -> Result<f64> {
    let grads = vars.values().filter_map(|var| grads.get(var.as_tensor()));
    Ok(square_sum_all(&grads.collect::<Vec<_>>())?.sqrt())
}

/// What a gradient of length `norm` is multiplied with to be no longer than `limit`.
pub(super) fn scale_to(limit: f64, norm: f64) -> f64 {
    (limit / (norm + BESIDE_ZERO)).min(1.0)
}
