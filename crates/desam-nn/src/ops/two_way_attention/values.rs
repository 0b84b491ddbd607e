//! Absorbed value projection: applied to the attended image tokens instead of to the image.

use crate::ops::linear::Affine;
use crate::ops::matmul::{Beta, View, matmul};
use crate::ops::vector::{build, f32s};
use candle_core::{Device, Result, Tensor, bail};
use gemm::Parallelism;

/// Applies the value projection `weight [inner, E]` to the attended image tokens, `[N, E, R]` →
/// `[N, T, inner]`: a weighted sum of projected tokens is the projection of their weighted sum.
///
/// # Errors
/// When shapes do not fit.
pub(crate) fn absorbed_value(attended: &Tensor, value: Affine<'_>, heads: usize) -> Result<Tensor> {
    let ((prompts, width, rows), (inner, inputs)) = (attended.dims3()?, value.weight.dims2()?);
    if heads == 0 || !rows.is_multiple_of(heads) || !inner.is_multiple_of(heads) || inputs != width
    {
        let dims = attended.dims();
        bail!(
            "two-way attention: {heads} heads, attended tokens {dims:?}, values {inner} × {inputs}"
        );
    }
    let (count, per_head) = (rows / heads, inner / heads);
    let (attended, weight) = (attended.contiguous()?, value.weight.contiguous()?);
    let ((ss, sl), (ws, wl)) = (attended.storage_and_layout(), weight.storage_and_layout());
    let (numbers, weight) = (f32s(&ss, sl)?, f32s(&ws, wl)?);
    let projected = build(prompts * count * inner, count * inner, |prompt, projected| {
        for head in 0..heads {
            let begin = prompt * width * rows + head * count;
            let lhs = View::strided(width, count, rows).on(&numbers[begin..]).t();
            let rhs = View::dense(per_head, width).on(&weight[head * per_head * width..]).t();
            let to =
                View::strided(count, per_head, inner).on_mut(&mut projected[head * per_head..]);
            matmul(to, lhs, rhs, Beta::Zero, Parallelism::None)?;
        }
        Ok(())
    })?;
    let projected = Tensor::from_vec(projected, (prompts, count, inner), &Device::Cpu)?;
    match value.bias {
        Some(bias) => projected.broadcast_add(bias),
        None => Ok(projected),
    }
}
