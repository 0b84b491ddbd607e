//! What the tokens make of what they have seen.

use crate::ops::linear::Affine;
use crate::ops::matmul::{Store, View, matmul};
use crate::ops::vector::{build, f32s};
use candle_core::{Device, Result, Tensor, bail};
use gemm::Parallelism;

/// What the tokens have heard: the value projection `weight [inner, E]` of what they saw,
/// `[N, E, R]` → `[N, T, inner]`.
///
/// # Errors
/// When shapes do not fit.
pub(crate) fn heard(seen: &Tensor, value: Affine<'_>, heads: usize) -> Result<Tensor> {
    let ((prompts, width, rows), (inner, inputs)) = (seen.dims3()?, value.weight.dims2()?);
    if heads == 0 || !rows.is_multiple_of(heads) || !inner.is_multiple_of(heads) || inputs != width
    {
        bail!("exchange: {heads} heads saw {:?}, values are of {inner} × {inputs}", seen.dims());
    }
    let (count, per_head) = (rows / heads, inner / heads);
    let (seen, weight) = (seen.contiguous()?, value.weight.contiguous()?);
    let ((ss, sl), (ws, wl)) = (seen.storage_and_layout(), weight.storage_and_layout());
    let (numbers, weight) = (f32s(&ss, sl)?, f32s(&ws, wl)?);
    let heard = build(prompts * count * inner, count * inner, |prompt, heard| {
        for head in 0..heads {
            let begin = prompt * width * rows + head * count;
            let left = (&numbers[begin..], View::strided(width, count, rows).t());
            let right = View::dense(per_head, width).t();
            let right = (&weight[head * per_head * width..], right);
            let to = (&mut heard[head * per_head..], View::strided(count, per_head, inner));
            matmul(to, left, right, Store::Replace, Parallelism::None)?;
        }
        Ok(())
    })?;
    let heard = Tensor::from_vec(heard, (prompts, count, inner), &Device::Cpu)?;
    match value.bias {
        Some(bias) => heard.broadcast_add(bias),
        None => Ok(heard),
    }
}
