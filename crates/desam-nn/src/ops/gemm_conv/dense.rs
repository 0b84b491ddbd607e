//! A product of two dense matrices, and what follows it while it is in the cache.

use super::microkernel::{ROWS, VECTORS, multiply};
use super::operands::{Left, Right, Spot, Target};
use crate::ops::matmul::{Store, View, matmul};
use crate::ops::pointwise::{Gelu, Relu};
use crate::ops::vector::{Map, build, dispatch, each, kernel, lanes};
use candle_core::Result;
use gemm::Parallelism;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Most depth that is summed in registers. A panel of the weight then streams in from the second
/// cache; blocks that fit into the nearest one were slower, for the result came and went with each.
const DEPTH: usize = 768;

/// Rows and columns of the result that a task holds at once, in its second cache.
const ROWS_AT_ONCE: usize = 256;
const COLUMNS_AT_ONCE: usize = 768;

/// Rows below which packing the weight costs more than it saves.
const FEW: usize = 16;

/// `x [rows, inputs]` times `weight [outputs, inputs]` turned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dense<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// What a product goes through before it is handed out, in this order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Finish<'a> {
    /// `[outputs]`, or nothing.
    pub(crate) bias: &'a [f32],
    pub(crate) curve: Curve,
    /// `[period, outputs]`, or nothing: row `r` takes row `r mod period`.
    pub(crate) residual: &'a [f32],
}

/// A function of each number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Curve {
    #[default]
    Straight,
    Gelu,
    Relu,
}

impl Dense<'_> {
    /// `[rows, outputs]`.
    ///
    /// # Errors
    /// When a slice is not as long as the sizes say.
    pub(crate) fn product(&self, finish: Finish<'_>) -> Result<Vec<f32>> {
        let Self { x, weight, rows, inputs, outputs } = *self;
        let fits = |slice: &[f32], len: usize| slice.is_empty() || slice.len() == len;
        let all = x.len() == rows * inputs && weight.len() == outputs * inputs;
        let residual = finish.residual.len();
        let repeats = residual == 0
            || (rows * outputs).is_multiple_of(residual) && residual.is_multiple_of(outputs.max(1));
        if !all || !fits(finish.bias, outputs) || !repeats {
            candle_core::bail!("product: {rows} × {inputs} × {outputs} of slices of other sizes");
        }
        if inputs == 0 {
            // Nothing to sum is a sum of zeros.
            let (x, weight) = (&vec![0.0; rows][..], &vec![0.0; outputs][..]);
            return Dense { x, weight, inputs: 1, ..*self }.product(finish);
        }
        if rows < FEW {
            return self.few_rows(finish);
        }
        let panels = Panels::pack(weight, inputs, outputs)?;
        // Some tasks for every thread where there are few rows; by sizes alone.
        let step = (rows / 16).next_multiple_of(ROWS).clamp(4 * ROWS, ROWS_AT_ONCE);
        let mut out = Vec::with_capacity(rows * outputs);
        let parts =
            out.spare_capacity_mut()[..rows * outputs].par_chunks_mut((step * outputs).max(1));
        parts.enumerate().for_each_init(Vec::new, |tiles, (i, y)| {
            let rows = i * step..i * step + y.len() / outputs;
            let x = &x[rows.start * inputs..rows.end * inputs];
            dispatch(Part { x, panels: &panels, finish, first: rows.start, tiles, y });
        });
        // SAFETY: parts partition the rows, and each writes all columns of its rows, tile by tile.
        #[allow(unsafe_code)]
        unsafe {
            out.set_len(rows * outputs);
        }
        Ok(out)
    }
}

impl Dense<'_> {
    /// The same by `gemm`, which does not pack a weight that few rows meet.
    fn few_rows(&self, finish: Finish<'_>) -> Result<Vec<f32>> {
        let Self { x, weight, rows, inputs, outputs } = *self;
        let mut y = vec![0.0; rows * outputs];
        let to = (&mut y[..], View::dense(rows, outputs));
        let right = (weight, View::dense(outputs, inputs).t());
        let all = Parallelism::Rayon(rayon::current_num_threads());
        matmul(to, (x, View::dense(rows, inputs)), right, Store::Replace, all)?;
        finish_rows(finish, outputs, &mut y);
        Ok(y)
    }
}

kernel! {
    fn finish_rows(simd: S, finish: Finish<'a>, outputs: usize, y: &'a mut [f32]) -> () {
        for (row, numbers) in y.chunks_exact_mut(outputs.max(1)).enumerate() {
            finish.apply(simd, [0, row * outputs], numbers);
        }
    }
}

/// The weight in panels `[inputs, VECTORS · lanes]`, one for each tile's columns.
struct Panels {
    values: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl Panels {
    fn pack(weight: &[f32], inputs: usize, outputs: usize) -> Result<Self> {
        let wide = VECTORS * lanes();
        let panel = inputs * wide;
        let values = build(outputs.div_ceil(wide) * panel, panel, |index, panel| {
            let columns = index * wide..((index + 1) * wide).min(outputs);
            let rows = weight[columns.start * inputs..columns.end * inputs].chunks_exact(inputs);
            // A part of the panel that stays in the nearest cache while all columns are written.
            for (part, panel) in panel.chunks_mut(PACKED * wide).enumerate() {
                for (column, row) in rows.clone().enumerate() {
                    let row = &row[part * PACKED..];
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

/// Lines of a panel that are written together.
const PACKED: usize = 64;

/// Some rows of the result.
struct Part<'a> {
    x: &'a [f32],
    panels: &'a Panels,
    finish: Finish<'a>,
    /// Of the whole result.
    first: usize,
    /// A buffer: sums `[ROWS, VECTORS · lanes]` of one tile, or of several where the depth has more
    /// than one block.
    tiles: &'a mut Vec<f32>,
    y: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, panels, finish, first, tiles, y } = self;
        let Panels { inputs, outputs, .. } = *panels;
        let wide = VECTORS * S::F32_LANES;
        let rows = y.len() / outputs.max(1);
        // A tile reads all of its rows: the last ones are copied where there is room behind them.
        let whole = rows / ROWS * ROWS;
        let mut rest = x[whole * inputs..].to_vec();
        if !rest.is_empty() {
            rest.resize(ROWS * inputs, 0.0);
        }
        let step = inputs.div_ceil(inputs.div_ceil(DEPTH).max(1)).max(1);
        let offsets: Vec<usize> = (0..step).map(|k| k * wide).collect();
        let (groups, at_once) = (rows.div_ceil(ROWS), COLUMNS_AT_ONCE / wide);
        let kept = if step < inputs { groups * at_once } else { 1 };
        tiles.resize(kept * ROWS * wide, 0.0);
        for left in (0..outputs).step_by(at_once * wide) {
            let columns = (left..outputs.min(left + at_once * wide)).step_by(wide);
            for depth in (0..inputs).step_by(step) {
                let deep = step.min(inputs - depth);
                for (panel, column) in columns.clone().enumerate() {
                    let begin = (column * inputs) + depth * wide;
                    let right =
                        Right::new(&panels.values[begin..begin + deep * wide], &offsets[..deep]);
                    let here = wide.min(outputs - column);
                    let spots = &spots(S::F32_LANES)[..here.div_ceil(S::F32_LANES)];
                    for group in 0..groups {
                        let row = group * ROWS;
                        let from = if row < whole { &x[row * inputs..] } else { &rest };
                        let left = Left::lines(&from[depth..], inputs);
                        let tile = (panel * groups + group) % kept * ROWS * wide;
                        let values = &mut tiles[tile..tile + ROWS * wide];
                        let mut target =
                            Target { values, stride: wide, rows: ROWS, add: depth > 0 };
                        multiply(simd, left, right, spots, &mut target);
                        if depth + deep == inputs {
                            let values = &mut tiles[tile..tile + (rows - row).min(ROWS) * wide];
                            for (r, sums) in values.chunks_exact_mut(wide).enumerate() {
                                let begin = (row + r) * outputs + column;
                                let sums = &mut sums[..here];
                                finish.apply(simd, [column, first * outputs + begin], sums);
                                write(&mut y[begin..begin + here], sums);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The vectors of a panel.
fn spots(lanes: usize) -> [Spot; VECTORS] {
    std::array::from_fn(|v| Spot { from: v * lanes, to: v * lanes, len: lanes })
}

fn write(to: &mut [MaybeUninit<f32>], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| {
        to.write(*from);
    });
}

impl Finish<'_> {
    /// `numbers` of one row, which begin at a column and at a place of the whole result.
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [column, place]: [usize; 2], numbers: &mut [f32]) {
        if let Some(bias) = self.bias.get(column..column + numbers.len()) {
            each!(simd: S; b in bias; v in numbers => { v = simd.add_f32s(v, b); });
        }
        match self.curve {
            Curve::Straight => {}
            Curve::Gelu => each!(simd: S; ; v in numbers => { v = Gelu.at(simd, v); }),
            Curve::Relu => each!(simd: S; ; v in numbers => { v = Relu.at(simd, v); }),
        }
        let place = place % self.residual.len().max(1);
        if let Some(residual) = self.residual.get(place..place + numbers.len()) {
            each!(simd: S; r in residual; v in numbers => { v = simd.add_f32s(v, r); });
        }
    }
}

#[cfg(test)]
mod tests;
