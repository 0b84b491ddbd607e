//! The affine map added to something, and the layer norm of the sum.

use super::gpu::{self, Follows};
use super::{Affine, check_sum, linear_added, tracked, way};
use crate::gpu::Path;
use crate::ops::layer_norm::layer_norm_as;
use crate::ops::two_way_attention::Norm;
use candle_core::{DType, Result, Tensor};

/// A sum and its layer norm.
#[derive(Debug, Clone)]
pub struct Normed {
    /// What was added.
    pub sum: Tensor,
    /// Its norm.
    pub normed: Tensor,
}

/// [`linear_added`] and the layer norm of the sum, in type `dtype`. On a GPU, where no gradient is
/// wanted, a row of the product goes through both in one pass.
///
/// # Errors
/// As [`linear_added`], and when the norm is not of `outputs` channels.
pub fn linear_added_normed(
    x: &Tensor,
    affine: Affine<'_>,
    to: &Tensor,
    norm: Norm<'_>,
    dtype: DType,
) -> Result<Normed> {
    if dtype == x.dtype() && is_fused(x, affine, to, norm)? {
        let added = gpu::normed(x, affine, to, Follows { norm, keep: true })?;
        if let (normed, Some(sum)) = added {
            return Ok(Normed { sum, normed });
        }
    }
    let sum = linear_added(x, affine, to)?;
    let normed = layer_norm_as(&sum, [norm.weight, norm.bias], norm.eps, dtype)?;
    Ok(Normed { sum, normed })
}

/// The layer norm of [`linear_added`], of the type of `to`: the sum itself is not wanted.
///
/// # Errors
/// As [`linear_added`], and when the norm is not of `outputs` channels.
pub fn linear_normed(
    x: &Tensor,
    affine: Affine<'_>,
    to: &Tensor,
    norm: Norm<'_>,
) -> Result<Tensor> {
    if to.dtype() == x.dtype() && is_fused(x, affine, to, norm)? {
        return Ok(gpu::normed(x, affine, to, Follows { norm, keep: false })?.0);
    }
    let sum = linear_added(x, affine, to)?;
    layer_norm_as(&sum, [norm.weight, norm.bias], norm.eps, to.dtype())
}

/// Whether one pass does it. Shapes are checked.
fn is_fused(x: &Tensor, affine: Affine<'_>, to: &Tensor, norm: Norm<'_>) -> Result<bool> {
    let all = [Some(x), Some(affine.weight), affine.bias, Some(to)];
    Ok(check_sum(x, affine, to)? <= gpu::NORMED_WIDTH
        && way(&all) == Path::Kernels
        && gpu::can_add(x.dtype(), to.dtype())
        && !tracked(&all)
        && !tracked(&[Some(norm.weight), Some(norm.bias)]))
}
