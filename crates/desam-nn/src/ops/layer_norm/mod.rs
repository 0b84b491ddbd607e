//! Layer norm over the last dimension, and SAM's LayerNorm2d over channels.

mod kernels;
mod planes;
mod rows;

use candle_core::{D, DType, Result, Tensor};
#[cfg(feature = "kernels")]
use desam_kernels::ops::layer_norm as gpu;

/// Layer norm over the last dimension: `x [.., C]`, `weight` and `bias` `[C]`.
///
/// f32 on the CPU is done row by row in a kernel of our own (candle's has no gradient and says
/// nothing about it), and f32, bf16 and f16 on a GPU; all else by [`plain`].
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    layer_norm_as(x, [weight, bias], eps, x.dtype())
}

/// [`layer_norm`] with a result of type `dtype`: on a GPU the row is read in its own type and
/// written in the other, with f32 between.
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn layer_norm_as(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    eps: f64,
    dtype: DType,
) -> Result<Tensor> {
    #[cfg(feature = "kernels")]
    if gpu::is_known(x.dtype(), dtype) && crate::gpu::uses_kernels(&[x, weight, bias]) {
        let single = |t: &Tensor| t.to_dtype(DType::F32);
        let op = gpu::LayerNorm { eps, to: dtype };
        return crate::gpu::apply(op, &[x, &single(weight)?, &single(bias)?]);
    }
    let y = match fast([x, weight, bias])? {
        Some([x, weight, bias]) => x.apply_op3(&weight, &bias, rows::LayerNorm { eps })?,
        // Parameters may be wider than what they are for.
        None => plain(&x.to_dtype(weight.dtype())?, weight, bias, eps)?,
    };
    y.to_dtype(dtype)
}

/// The definition, with a gradient.
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normal.broadcast_mul(weight)?.broadcast_add(bias)
}

/// Layer norm over the channels of `x [B, C, H, W]`, `weight` and `bias` `[C]` (SAM's
/// `LayerNorm2d`). f32 on the CPU and f32, bf16 and f16 on a GPU by kernels of our own, all else by
/// [`plain_2d`]. The result has the type of `x`; parameters may be wider.
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn layer_norm_2d(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    #[cfg(feature = "kernels")]
    if crate::gpu::uses_kernels(&[x, weight, bias]) {
        let single = |t: &Tensor| t.to_dtype(DType::F32);
        let op = gpu::LayerNorm2d { eps };
        return crate::gpu::apply(op, &[x, &single(weight)?, &single(bias)?]);
    }
    match fast([x, weight, bias])? {
        Some([x, weight, bias]) => x.apply_op3(&weight, &bias, planes::LayerNorm2d { eps }),
        None => plain_2d(&x.to_dtype(weight.dtype())?, weight, bias, eps)?.to_dtype(x.dtype()),
    }
}

/// The definition of [`layer_norm_2d`], with a gradient.
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn plain_2d(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    let per_channel = |t: &Tensor| t.reshape((1, (), 1, 1));
    normal.broadcast_mul(&per_channel(weight)?)?.broadcast_add(&per_channel(bias)?)
}

/// The three tensors without gaps, where the fast path takes them.
fn fast(tensors: [&Tensor; 3]) -> Result<Option<[Tensor; 3]>> {
    if !tensors.iter().all(|t| t.device().is_cpu() && t.dtype() == DType::F32) {
        return Ok(None);
    }
    let [x, weight, bias] = tensors;
    Ok(Some([x.contiguous()?, weight.contiguous()?, bias.contiguous()?]))
}

#[cfg(test)]
#[cfg(feature = "emulation")]
mod kernel_tests;
#[cfg(test)]
mod tests;
