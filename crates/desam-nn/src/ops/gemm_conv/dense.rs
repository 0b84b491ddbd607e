//! Dense GEMM `x · weightᵀ` with a fused epilogue: the affine map of a linear layer.

use super::microkernel::multiply;
use super::operands::{Lhs, OutputVector, ROWS, Rhs, StridedOutput, VECTORS};
use crate::ops::matmul::{Beta, View, matmul};
use crate::ops::pointwise::{Activation, Gelu, Relu};
use crate::ops::vector::{Map, build, dispatch, each, kernel, lanes};
use candle_core::Result;
use gemm::Parallelism;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Cache blocking. Most depth that is summed in registers: a panel of the weight then streams in from
/// the L2 cache. Blocks that fit into L1 were slower, since the result was loaded and stored for each.
const DEPTH: usize = 768;

/// Rows and columns of the result that a task works on at once, in its L2 cache.
const BLOCK_ROWS: usize = 256;
const BLOCK_COLUMNS: usize = 768;

/// Rows below which packing the weight costs more than it saves.
const MIN_PACKED_ROWS: usize = 16;

/// The product of `x [rows, inputs]` and the transpose of `weight [outputs, inputs]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DenseGemm<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// Epilogue of a product, applied to each tile while it is in the cache: bias, activation, residual,
/// in this order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TileEpilogue<'a> {
    /// `[outputs]`, or empty.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Activation,
    /// `[period, outputs]`, or empty: row `r` takes row `r mod period`.
    pub(crate) residual: &'a [f32],
}

impl DenseGemm<'_> {
    /// Computes the product and its epilogue: `[rows, outputs]`.
    ///
    /// # Errors
    /// When a slice is not as long as the sizes say.
    pub(crate) fn run(&self, epilogue: TileEpilogue<'_>) -> Result<Vec<f32>> {
        let Self { x, weight, rows, inputs, outputs } = *self;
        let fits = |slice: &[f32], len: usize| slice.is_empty() || slice.len() == len;
        let operands = x.len() == rows * inputs && weight.len() == outputs * inputs;
        let residual = epilogue.residual.len();
        let repeats = residual == 0
            || (rows * outputs).is_multiple_of(residual) && residual.is_multiple_of(outputs.max(1));
        if !operands || !fits(epilogue.bias, outputs) || !repeats {
            candle_core::bail!("product: {rows} × {inputs} × {outputs} of slices of other sizes");
        }
        if inputs == 0 {
            // An empty sum is zero.
            let (x, weight) = (&vec![0.0; rows][..], &vec![0.0; outputs][..]);
            return DenseGemm { x, weight, inputs: 1, ..*self }.run(epilogue);
        }
        if rows < MIN_PACKED_ROWS {
            return self.unpacked(epilogue);
        }
        let panels = PackedRhs::pack(weight, inputs, outputs)?;
        // Some tasks for every thread where there are few rows. It follows from sizes alone, so that
        // the bits do not depend on the number of threads.
        let step = (rows / 16).next_multiple_of(ROWS).clamp(4 * ROWS, BLOCK_ROWS);
        let mut out = Vec::with_capacity(rows * outputs);
        let blocks =
            out.spare_capacity_mut()[..rows * outputs].par_chunks_mut((step * outputs).max(1));
        blocks.enumerate().for_each_init(Vec::new, |tiles, (i, y)| {
            let rows = i * step..i * step + y.len() / outputs;
            let x = &x[rows.start * inputs..rows.end * inputs];
            dispatch(RowBlock { x, panels: &panels, epilogue, first: rows.start, tiles, y });
        });
        // SAFETY: blocks partition the rows, and each writes all columns of its rows, tile by tile.
        #[allow(unsafe_code)]
        unsafe {
            out.set_len(rows * outputs);
        }
        Ok(out)
    }

    /// The same by `gemm`, which does not pack a weight that is used for few rows.
    fn unpacked(&self, epilogue: TileEpilogue<'_>) -> Result<Vec<f32>> {
        let Self { x, weight, rows, inputs, outputs } = *self;
        let mut y = vec![0.0; rows * outputs];
        let to = View::dense(rows, outputs).on_mut(&mut y);
        let rhs = View::dense(outputs, inputs).on(weight).t();
        let all = Parallelism::Rayon(rayon::current_num_threads());
        matmul(to, View::dense(rows, inputs).on(x), rhs, Beta::Zero, all)?;
        apply_rows(epilogue, outputs, &mut y);
        Ok(y)
    }
}

kernel! {
    /// Applies an epilogue to the rows `y` of a whole product.
    fn apply_rows(simd: S, epilogue: TileEpilogue<'a>, outputs: usize, y: &'a mut [f32]) -> () {
        for (row, numbers) in y.chunks_exact_mut(outputs.max(1)).enumerate() {
            epilogue.apply(simd, Position { column: 0, index: row * outputs }, numbers);
        }
    }
}

/// The weight packed as panels `[inputs, VECTORS · lanes]`, one for each tile's columns: transposed,
/// so that a tile's vectors at one depth lie next to each other.
struct PackedRhs {
    values: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl PackedRhs {
    fn pack(weight: &[f32], inputs: usize, outputs: usize) -> Result<Self> {
        let wide = VECTORS * lanes();
        let panel = inputs * wide;
        let values = build(outputs.div_ceil(wide) * panel, panel, |index, panel| {
            let columns = index * wide..((index + 1) * wide).min(outputs);
            let rows = weight[columns.start * inputs..columns.end * inputs].chunks_exact(inputs);
            // A part of the panel that stays in the L1 cache while all columns are written.
            for (part, panel) in panel.chunks_mut(PACKED_LINES * wide).enumerate() {
                for (column, row) in rows.clone().enumerate() {
                    let row = &row[part * PACKED_LINES..];
                    for (line, value) in panel.chunks_exact_mut(wide).zip(row) {
                        line[column] = *value;
                    }
                }
            }
            Ok(())
        })?;
        Ok(Self { values, inputs, outputs })
    }
}

/// Lines of a panel that are packed together.
const PACKED_LINES: usize = 64;

/// Some rows of the product.
struct RowBlock<'a> {
    x: &'a [f32],
    panels: &'a PackedRhs,
    epilogue: TileEpilogue<'a>,
    /// Index of the first row in the whole product.
    first: usize,
    /// A buffer: sums `[ROWS, VECTORS · lanes]` of one tile, or of all tiles of the block's columns
    /// where the depth has more than one block.
    tiles: &'a mut Vec<f32>,
    y: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for RowBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, panels, epilogue, first, tiles, y } = self;
        let PackedRhs { inputs, outputs, .. } = *panels;
        let wide = VECTORS * S::F32_LANES;
        let rows = y.len() / outputs.max(1);
        // A tile reads ROWS rows: the last ones are copied to a buffer that has as many.
        let whole = rows / ROWS * ROWS;
        let mut rest = x[whole * inputs..].to_vec();
        if !rest.is_empty() {
            rest.resize(ROWS * inputs, 0.0);
        }
        let step = inputs.div_ceil(inputs.div_ceil(DEPTH).max(1)).max(1);
        let offsets: Vec<usize> = (0..step).map(|k| k * wide).collect();
        let (groups, panels_at_once) = (rows.div_ceil(ROWS), BLOCK_COLUMNS / wide);
        // With one block of depth a tile is finished at once; with several its sums must be kept.
        let kept = if step < inputs { groups * panels_at_once } else { 1 };
        tiles.resize(kept * ROWS * wide, 0.0);
        for block in (0..outputs).step_by(panels_at_once * wide) {
            let columns = (block..outputs.min(block + panels_at_once * wide)).step_by(wide);
            for depth in (0..inputs).step_by(step) {
                let deep = step.min(inputs - depth);
                for (panel, column) in columns.clone().enumerate() {
                    let begin = (column * inputs) + depth * wide;
                    let rhs =
                        Rhs::new(&panels.values[begin..begin + deep * wide], &offsets[..deep]);
                    let here = wide.min(outputs - column);
                    let vectors = &OutputVector::of_tile::<VECTORS>(S::F32_LANES)
                        [..here.div_ceil(S::F32_LANES)];
                    for group in 0..groups {
                        let row = group * ROWS;
                        let from = if row < whole { &x[row * inputs..] } else { &rest };
                        let lhs = Lhs::row_major(&from[depth..], inputs);
                        let tile = (panel * groups + group) % kept * ROWS * wide;
                        let values = &mut tiles[tile..tile + ROWS * wide];
                        let mut output =
                            StridedOutput { values, stride: wide, rows: ROWS, add: depth > 0 };
                        multiply(simd, lhs, rhs, vectors, &mut output);
                        if depth + deep == inputs {
                            let values = &mut tiles[tile..tile + (rows - row).min(ROWS) * wide];
                            for (r, sums) in values.chunks_exact_mut(wide).enumerate() {
                                let begin = (row + r) * outputs + column;
                                let sums = &mut sums[..here];
                                let index = first * outputs + begin;
                                epilogue.apply(simd, Position { column, index }, sums);
                                write(&mut y[begin..begin + here], sums);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn write(to: &mut [MaybeUninit<f32>], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| {
        to.write(*from);
    });
}

/// Position of the first of some numbers of one row: its column, and its index in the whole product.
#[derive(Debug, Clone, Copy)]
struct Position {
    column: usize,
    index: usize,
}

impl TileEpilogue<'_> {
    /// Applies the epilogue to consecutive `numbers` of one row.
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, at: Position, numbers: &mut [f32]) {
        if let Some(bias) = self.bias.get(at.column..at.column + numbers.len()) {
            each!(simd: S; b in bias; v in numbers => { v = simd.add_f32s(v, b); });
        }
        match self.activation {
            Activation::Identity => {}
            Activation::Gelu => each!(simd: S; ; v in numbers => { v = Gelu.at(simd, v); }),
            Activation::Relu => each!(simd: S; ; v in numbers => { v = Relu.at(simd, v); }),
        }
        let begin = at.index % self.residual.len().max(1);
        if let Some(residual) = self.residual.get(begin..begin + numbers.len()) {
            each!(simd: S; r in residual; v in numbers => { v = simd.add_f32s(v, r); });
        }
    }
}

#[cfg(test)]
mod tests;
