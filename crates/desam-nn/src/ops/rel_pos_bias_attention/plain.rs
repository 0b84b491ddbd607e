//! Window attention with relative position biases by definition, in elementary ops.

use super::{BiasedSizes, RelPosBiasAttention, offset_indices};
use crate::ops::softmax;
use candle_core::{IndexOp, Result, Tensor};

/// [`super::rel_pos_bias_attention`] in elementary ops, with a gradient: the reference.
///
/// # Errors
/// When shapes do not fit.
pub fn plain(qkv: &Tensor, attention: RelPosBiasAttention<'_>) -> Result<Tensor> {
    let RelPosBiasAttention { padding, biases } = attention;
    let sizes = BiasedSizes::of(qkv.dims(), padding.dims(), biases.dims())?;
    let BiasedSizes { heads, depth, side, .. } = sizes;
    let (padding, biases) = (padding.to_dtype(qkv.dtype())?, biases.to_dtype(qkv.dtype())?);
    let windows = partition(qkv, &padding, side)?;
    let (n, tokens, _) = windows.dims3()?;
    let parts = windows
        .reshape((n, tokens, 3, heads, depth))?
        .permute((2, 0, 3, 1, 4))?
        .contiguous()?
        .reshape((3, n * heads, tokens, depth))?;
    let (q, k, v) = ((parts.i(0)? * sizes.scale())?, parts.i(1)?, parts.i(2)?);
    let indices = Tensor::new(offset_indices(side), qkv.device())?;
    let bias = biases.index_select(&indices, 1)?.reshape((1, heads, tokens, tokens))?;
    let scores = q.matmul(&k.t()?)?.reshape((n, heads, tokens, tokens))?.broadcast_add(&bias)?;
    let weights = softmax::softmax(&scores)?.reshape((n * heads, tokens, tokens))?;
    let y = weights.matmul(&v)?.reshape((n, heads, tokens, depth))?;
    unpartition(&y.transpose(1, 2)?.reshape((n, tokens, heads * depth))?, sizes)
}

/// Window partition: `x [B, G, G, C]` → windows `[B·W·W, side², C]`, row by row, `padding [C]` beyond the
/// grid's right and lower edge.
fn partition(x: &Tensor, padding: &Tensor, side: usize) -> Result<Tensor> {
    let (b, grid, _, c) = x.dims4()?;
    let along = grid.div_ceil(side);
    let (whole, missing) = (along * side, along * side - grid);
    let x = if missing > 0 {
        let right = padding.broadcast_as((b, grid, missing, c))?;
        let below = padding.broadcast_as((b, missing, whole, c))?;
        Tensor::cat(&[&Tensor::cat(&[x, &right], 2)?, &below], 1)?
    } else {
        x.clone()
    };
    x.reshape(&[b, along, side, along, side, c][..])?.permute([0, 1, 3, 2, 4, 5])?.reshape((
        b * along * along,
        side * side,
        c,
    ))
}

/// Window unpartition: windows `[B·W·W, side², C]` → `[B, G, G, C]`, padding removed.
fn unpartition(windows: &Tensor, sizes: BiasedSizes) -> Result<Tensor> {
    let BiasedSizes { images, grid, side, .. } = sizes;
    let along = sizes.along();
    windows
        .reshape(&[images, along, along, side, side, sizes.width()][..])?
        .permute([0, 1, 3, 2, 4, 5])?
        .reshape((images, along * side, along * side, sizes.width()))?
        .narrow(1, 0, grid)?
        .narrow(2, 0, grid)?
        .contiguous()
}
