//! The affine map by kernels.

use super::{Activation, Affine, backend, check_sum, tracked};
use crate::gpu::{Backend, apply};
use crate::ops::exchange::Norm;
use candle_core::{Result, Tensor};
pub(super) use desam_kernels::ops::linear::can_add;
use desam_kernels::ops::linear::{
    self as kernels, Linear, LinearActivation, LinearAdded, NORMED_WIDTH, NormedInputs, SumAndNorm,
};

/// `activation(x · weightᵀ + bias)`; GELU only where no gradient is wanted.
pub(super) fn linear(
    x: &Tensor,
    affine: Affine<'_>,
    activation: Option<Activation>,
) -> Result<Tensor> {
    let activation = activation.map(|activation| match activation {
        Activation::Gelu => LinearActivation::Gelu,
        Activation::Relu => LinearActivation::Relu,
    });
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

/// The layer norm of `to + x · weightᵀ + bias` in one pass over the product, with the sum if
/// `keep_sum` says so. `None` where a gradient is wanted or no kernel takes the sizes and types.
pub(super) fn normed(
    x: &Tensor,
    affine: Affine<'_>,
    to: &Tensor,
    norm: Norm<'_>,
    keep_sum: bool,
) -> Result<Option<SumAndNorm>> {
    let all = [Some(x), Some(affine.weight), affine.bias, Some(to)];
    let fused = check_sum(x, affine, to)? <= NORMED_WIDTH
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
    kernels::linear_normed(inputs, keep_sum).map(Some)
}
