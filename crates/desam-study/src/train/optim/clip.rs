//! Gradient-norm clipping.

use crate::Result;
use candle_core::Var;
use candle_core::backprop::GradStore;
use desam_nn::ops::adam::square_sum_all;
use std::collections::BTreeMap;

/// Added to the norm before dividing, as in PyTorch's `clip_grad_norm_`.
const EPS: f64 = 1e-6;

/// Global gradient norm: the Euclidean norm of all gradients together, summed in f64 in the order of
/// the parameters' names.
///
/// # Errors
/// When a tensor operation fails.
pub fn gradient_norm(vars: &BTreeMap<String, Var>, grads: &GradStore) -> Result<f64> {
    let grads = vars.values().filter_map(|var| grads.get(var.as_tensor()));
    Ok(square_sum_all(&grads.collect::<Vec<_>>())?.sqrt())
}

/// The factor, at most 1, that clips a gradient of norm `norm` to norm `limit`.
pub(in crate::train) fn clip_scale(limit: f64, norm: f64) -> f64 {
    (limit / (norm + EPS)).min(1.0)
}
