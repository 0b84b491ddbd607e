//! Window attention with relative positions by definition, in elementary ops.

use super::{RelPosAttention, WindowedSizes, sizes};
use crate::ops::softmax;
use candle_core::{D, Device, IndexOp, Result, Tensor};

/// Scores stored at once: 2²⁵ f32 are 128 MiB, two heads of a 64×64 grid. Beyond one head the size of a
/// chunk no longer changes the speed, below it no longer the memory.
const SCORES_AT_ONCE: usize = 1 << 25;

/// [`super::rel_pos_attention`] in elementary ops, with a gradient: the reference.
///
/// # Errors
/// When shapes do not fit.
pub fn plain(qkv: &Tensor, attention: RelPosAttention<'_>) -> Result<Tensor> {
    let RelPosAttention { bias, positions, heads } = attention;
    let sizes = sizes(qkv.dims(), bias.dims(), positions.dims(), heads)?;
    // The bias is added after the padding, so that padding tokens hold it alone.
    let windows = partition(qkv, sizes.side)?.broadcast_add(bias)?;
    unpartition(&attend(&windows, positions, sizes)?, sizes)
}

/// Window partition: `x [B, G, G, C]` → windows `[B·W·W, side², C]`, row by row, zero padding beyond the
/// grid's right and lower edge.
fn partition(x: &Tensor, side: usize) -> Result<Tensor> {
    let (b, rows, columns, c) = x.dims4()?;
    let (down, across) = (rows.div_ceil(side), columns.div_ceil(side));
    let x = x.pad_with_zeros(1, 0, down * side - rows)?;
    let x = x.pad_with_zeros(2, 0, across * side - columns)?;
    x.reshape(&[b, down, side, across, side, c][..])?.permute([0, 1, 3, 2, 4, 5])?.reshape((
        b * down * across,
        side * side,
        c,
    ))
}

/// Window unpartition: windows `[B·W·W, side², C]` → `[B, G, G, C]`, padding removed.
fn unpartition(windows: &Tensor, sizes: WindowedSizes) -> Result<Tensor> {
    let WindowedSizes { images, grid, side, .. } = sizes;
    let along = sizes.along();
    windows
        .reshape(&[images, along, along, side, side, sizes.width()][..])?
        .permute([0, 1, 3, 2, 4, 5])?
        .reshape((images, along * side, along * side, sizes.width()))?
        .narrow(1, 0, grid)?
        .narrow(2, 0, grid)?
        .contiguous()
}

/// Attention inside each window: `qkv [n, side², 3C]` → `[n, side², C]`.
fn attend(qkv: &Tensor, positions: &Tensor, sizes: WindowedSizes) -> Result<Tensor> {
    let (n, tokens, _) = qkv.dims3()?;
    let WindowedSizes { heads, depth, .. } = sizes;
    let qkv = qkv
        .reshape((n, tokens, 3, heads, depth))?
        .permute((2, 0, 3, 1, 4))?
        .contiguous()?
        .reshape((3, n * heads, tokens, depth))?;
    let q = queries(&qkv.i(0)?, positions, sizes.side)?;
    let (k, v) = (keys(&qkv.i(1)?, sizes.side)?, qkv.i(2)?);
    let at_once = (SCORES_AT_ONCE / (tokens * tokens).max(1)).max(1);
    let mut outputs = Vec::new();
    for start in (0..n * heads).step_by(at_once) {
        let len = at_once.min(n * heads - start);
        let scores = q.narrow(0, start, len)?.matmul(&k.narrow(0, start, len)?.t()?)?;
        outputs.push(softmax::softmax(&scores)?.matmul(&v.narrow(0, start, len)?)?);
    }
    Tensor::cat(&outputs, 0)?.reshape((n, heads, tokens, depth))?.transpose(1, 2)?.reshape((
        n,
        tokens,
        heads * depth,
    ))
}

/// Augmented queries: `q [N, side², D]` → `[N, side², D + 2 side]`, the scaled query, then its products
/// with the position vector of each key row and each key column. With [`keys`] one product gives
/// `(q·scale)·k + q·R_row + q·R_column`; adding the two terms to the scores afterwards would be two
/// more passes over them.
fn queries(q: &Tensor, positions: &Tensor, side: usize) -> Result<Tensor> {
    let (n, tokens, depth) = q.dims3()?;
    let square = q.reshape((n, side, side, depth))?;
    let products = |by_line: Tensor, axis: usize| -> Result<Tensor> {
        by_line
            .contiguous()?
            .reshape((side, n * side, depth))?
            .matmul(&by_query(&positions.i(axis)?, side)?)?
            .reshape((side, n, side, side))
    };
    let rows = products(square.permute((1, 0, 2, 3))?, 0)?;
    let columns = products(square.permute((2, 0, 1, 3))?, 1)?;
    let rows = rows.permute((1, 0, 2, 3))?.reshape((n, tokens, side))?;
    let columns = columns.permute((1, 2, 0, 3))?.reshape((n, tokens, side))?;
    let scaled = q.affine(1.0 / (depth as f64).sqrt(), 0.0)?;
    Tensor::cat(&[scaled, rows, columns], D::Minus1)
}

/// A position table by distance, `[2 side - 1, D]`, as `[query, D, key]`.
fn by_query(table: &Tensor, side: usize) -> Result<Tensor> {
    let index = |i: usize| (i / side + side - 1 - i % side) as u32;
    let index: Vec<u32> = (0..side * side).map(index).collect();
    let index = Tensor::from_vec(index, side * side, table.device())?;
    let vectors = table.contiguous()?.index_select(&index, 0)?;
    vectors.reshape((side, side, ()))?.transpose(1, 2)?.contiguous()
}

/// Augmented keys: `k [N, side², D]` → `[N, side², D + 2 side]`, the key, then its row and column one-hot.
fn keys(k: &Tensor, side: usize) -> Result<Tensor> {
    let (n, tokens, _) = k.dims3()?;
    let one_hot = one_hot_positions(side, k.device())?.to_dtype(k.dtype())?;
    let one_hot = one_hot.unsqueeze(0)?.broadcast_as((n, tokens, 2 * side))?.contiguous()?;
    Tensor::cat(&[k.contiguous()?, one_hot], D::Minus1)
}

/// One-hot row and column of each key, `[side², 2 side]`.
fn one_hot_positions(side: usize, device: &Device) -> Result<Tensor> {
    let mut ones = vec![0f32; side * side * 2 * side];
    for (token, row) in ones.chunks_exact_mut(2 * side).enumerate() {
        let (rows, columns) = row.split_at_mut(side);
        rows[token / side] = 1.0;
        columns[token % side] = 1.0;
    }
    Tensor::from_vec(ones, (side * side, 2 * side), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpartition_inverts_partition() {
        for (images, grid, side) in [(1, 1, 1), (2, 5, 2), (1, 7, 7), (2, 6, 3), (1, 3, 8)] {
            let numbers = (images * grid * grid * 2) as f32;
            let x = Tensor::arange(0f32, numbers, &Device::Cpu).unwrap();
            let x = x.reshape((images, grid, grid, 2)).unwrap();
            let sizes = WindowedSizes { images, grid, side, heads: 1, depth: 2 };
            let cut = partition(&x, side).unwrap();
            let windows = images * sizes.along() * sizes.along();
            assert_eq!(cut.dims(), &[windows, side * side, 2]);
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(flat(&unpartition(&cut, sizes).unwrap()), flat(&x));
        }
    }

    #[test]
    fn the_second_window_lies_to_the_right_and_padding_is_zero() {
        let x = Tensor::arange(1f32, 10.0, &Device::Cpu).unwrap().reshape((1, 3, 3, 1)).unwrap();
        let cut = partition(&x, 2).unwrap().squeeze(2).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(cut[0], [1.0, 2.0, 4.0, 5.0]);
        assert_eq!(cut[1], [3.0, 0.0, 6.0, 0.0]);
        assert_eq!(cut[2], [7.0, 8.0, 0.0, 0.0]);
    }
}
