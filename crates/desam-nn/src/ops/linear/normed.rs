//! The affine map added to something, and the layer norm of the sum.

use super::{Affine, linear_added};
use crate::ops::exchange::Norm;
use crate::ops::layer_norm::layer_norm_as;
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
    #[cfg(feature = "kernels")]
    if dtype == x.dtype()
        && let Some(fused) = super::gpu::normed(x, affine, to, norm, true)?
        && let Some(sum) = fused.sum
    {
        return Ok(Normed { sum, normed: fused.normed });
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
    #[cfg(feature = "kernels")]
    if to.dtype() == x.dtype()
        && let Some(fused) = super::gpu::normed(x, affine, to, norm, false)?
    {
        return Ok(fused.normed);
    }
    let sum = linear_added(x, affine, to)?;
    layer_norm_as(&sum, [norm.weight, norm.bias], norm.eps, to.dtype())
}
