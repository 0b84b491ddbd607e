//! The affine map by kernels.

use super::{Activation, Affine, backend, check_residual, tracked};
use crate::gpu::{Backend, apply};
use crate::ops::layer_norm::NormParameters;
use candle_core::{Result, Tensor};
pub(super) use desam_kernels::ops::linear::can_add;
use desam_kernels::ops::linear::{
    self as kernels, Linear, LinearActivation, LinearAdded, NORMED_WIDTH, NormedInputs, SumAndNorm,
};

/// `activation(x · weightᵀ + bias)`; GELU only where no gradient is wanted.
pub(super) fn linear(x: &Tensor, affine: Affine<'_>, activation: Activation) -> Result<Tensor> {
    let activation = match activation {
        Activation::Identity => None,
        Activation::Gelu => Some(LinearActivation::Gelu),
        Activation::Relu => Some(LinearActivation::Relu),
    };
    let op = Linear { activation };
    match affine.bias {
        Some(bias) => apply(op, &[x, affine.weight, bias]),
        None => apply(op, &[x, affine.weight]),
    }
}

/// `to + x · weightᵀ + bias`, of the type of `to`. Shapes were checked.
pub(super) fn added(x: &Tensor, affine: Affine<'_>, to: &Tensor) -> Result<Tensor> {
    let Affine { weight, bias } = affine;
    let outputs = weight.dim(0)?;
    match bias {
        Some(bias) if bias.track_op() => {
            let parameters = Tensor::cat(&[&weight.flatten_all()?, bias], 0)?;
            apply(LinearAdded::with_biases_behind(outputs), &[x, &parameters, to])
        }
        _ => apply(LinearAdded::new(outputs, bias)?, &[x, weight, to]),
    }
}

/// Epilogue of the product in [`normed`]: residual and layer norm.
pub(super) struct ResidualNorm<'a> {
    /// The residual that is added.
    pub(super) to: &'a Tensor,
    /// The norm of the sum.
    pub(super) norm: NormParameters<'a>,
    /// Whether the sum is returned as well.
    pub(super) keep: bool,
}

/// The layer norm of `to + x · weightᵀ + bias` in one pass over the product, with the sum if it is
/// kept. `None` where a gradient is wanted or no kernel takes the sizes and types.
pub(super) fn normed(
    x: &Tensor,
    affine: Affine<'_>,
    ResidualNorm { to, norm, keep }: ResidualNorm<'_>,
) -> Result<Option<SumAndNorm>> {
    let all = [Some(x), Some(affine.weight), affine.bias, Some(to)];
    let fused = check_residual(x, affine, to)? <= NORMED_WIDTH
        && backend(&all) == Backend::Kernels
        && can_add(x.dtype(), to.dtype())
        && !tracked(&all)
        && !tracked(&[Some(norm.weight), Some(norm.bias)]);
    if !fused {
        return Ok(None);
    }
    let inputs = NormedInputs {
        x,
        weight: affine.weight,
        bias: affine.bias,
        to,
        norm_weight: norm.weight,
        norm_bias: norm.bias,
        eps: norm.eps,
    };
    kernels::linear_normed(inputs, keep).map(Some)
}
