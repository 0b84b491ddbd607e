//! Weight gradient of a 1×1 convolution: channel rows of both operands are multiplied as they lie.
//!
//! Vectors run along the pixels, so nothing is transposed; a tile's sums are vectors, whose lanes are
//! added when a strip is done.

use super::operands::{ROWS, VECTORS};
use super::partial_sums::partial_sums;
use super::source::{ImageDims, ImageSource, RowIndex, Window};
use super::strip::Strip;
use crate::ops::vector::dispatch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Pixels of a strip: [`ROWS`] channels of them (32 KiB) stay in the L1 cache while all other channels
/// pass, and adding up the lanes is a tenth of the work.
const PIXELS: usize = 1024;

/// Most numbers of the operand that is kept whole: 1 MiB, half of an L2 cache.
const KEPT_NUMBERS: usize = 256 << 10;

/// Fewest pixels of a strip where that operand has many channels.
const MIN_PIXELS: usize = 256;

/// Numbers of the result that a thread adds up at once.
const CHUNK: usize = 1 << 12;

/// `out[l, r] = Σ lhs[b, l, y, x] · rhs[b, r, y, x]` over `b`, `y` and `x` → `[lhs channels, rhs
/// channels]`.
pub(super) fn weight_gradient_1x1(lhs: &dyn ImageSource, rhs: &dyn ImageSource) -> Vec<f32> {
    let (rows, columns) = (lhs.planes().channels, rhs.planes().channels);
    // The operand with fewer channels is kept whole; of the other a few channels at a time are read.
    let operands = if rows < columns {
        Operands { kept: lhs, streamed: rhs, strides: Strides { kept: columns, streamed: 1 } }
    } else {
        Operands { kept: rhs, streamed: lhs, strides: Strides { kept: 1, streamed: columns } }
    };
    let len = rows * columns;
    let strips = operands.strips();
    let partial = partial_sums(&strips, len).map(|strips| operands.partial_sum(strips, len));
    let mut partial = partial.collect::<Vec<_>>().into_iter();
    let mut sums = partial.next().unwrap_or_else(|| vec![0.0; len]);
    let others = partial.as_slice();
    // In the order of the strips, so that the bits do not depend on the threads.
    sums.par_chunks_mut(CHUNK).enumerate().for_each(|(index, sums)| {
        for other in others {
            let other = &other[index * CHUNK..][..sums.len()];
            sums.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
        }
    });
    sums
}

/// Steps in the result from one channel of an operand to the next.
#[derive(Debug, Clone, Copy)]
struct Strides {
    kept: usize,
    streamed: usize,
}

/// Both operands of the product.
struct Operands<'a> {
    kept: &'a dyn ImageSource,
    streamed: &'a dyn ImageSource,
    strides: Strides,
}

impl Operands<'_> {
    fn strips(&self) -> Vec<Strip> {
        let planes = self.kept.planes();
        let ImageDims { channels, width, .. } = planes;
        let pixels = (KEPT_NUMBERS / channels.max(1)).clamp(MIN_PIXELS, PIXELS);
        Strip::all(planes, Window::POINT, (pixels / width.max(1)).max(1))
    }

    /// The sum over some strips.
    fn partial_sum(&self, strips: &[Strip], len: usize) -> Vec<f32> {
        let (mut kept, mut streamed) = (ChannelRows::default(), ChannelRows::default());
        let mut sums = vec![0.0; len];
        let (fewer, more) = (self.kept.planes().channels, self.streamed.planes().channels);
        for strip in strips {
            kept.read(self.kept, strip, 0..fewer.next_multiple_of(VECTORS));
            for first in (0..more).step_by(ROWS) {
                streamed.read(self.streamed, strip, first..first + ROWS);
                dispatch(Tiles {
                    kept: &kept,
                    streamed: &streamed,
                    columns: fewer,
                    rows: ROWS.min(more - first),
                    strides: self.strides,
                    sums: &mut sums[(first * self.strides.streamed).min(len)..],
                });
            }
        }
        sums
    }
}

/// Lanes of the widest vectors.
const MAX_LANES: usize = 16;

/// Channels of a strip, each a row that zeros fill up to whole vectors.
#[derive(Default)]
struct ChannelRows {
    values: Vec<f32>,
    stride: usize,
}

impl ChannelRows {
    /// Reads `channels`; those beyond the source's last become zeros.
    fn read(&mut self, source: &dyn ImageSource, strip: &Strip, channels: Range<usize>) {
        let planes = source.planes();
        let pixels = strip.rows.len() * planes.width;
        // One vector of padding keeps rows apart that would fall into the same cache sets.
        self.stride = pixels.next_multiple_of(MAX_LANES) + MAX_LANES;
        self.values.resize(channels.len() * self.stride, 0.0);
        for (channel, line) in channels.zip(self.values.chunks_exact_mut(self.stride)) {
            let (inner, padding) = line.split_at_mut(pixels);
            padding.fill(0.0);
            if channel < planes.channels {
                let first = RowIndex { image: strip.image, channel, row: strip.rows.start };
                source.read_rows(first, inner);
            } else {
                inner.fill(0.0);
            }
        }
    }

    /// `N` rows from `first` on as vectors, as many as hold all pixels.
    #[inline(always)]
    fn vectors<S: Simd, const N: usize>(&self, first: usize) -> [&[S::f32s]; N] {
        let whole = (self.stride - MAX_LANES) / S::F32_LANES;
        std::array::from_fn(|n| {
            let begin = (first + n) * self.stride;
            &S::as_simd_f32s(&self.values[begin..begin + self.stride]).0[..whole]
        })
    }
}

/// At most [`ROWS`] channels of the streamed operand with all of the one that is kept.
struct Tiles<'a> {
    kept: &'a ChannelRows,
    streamed: &'a ChannelRows,
    /// Channels of the kept operand, and of the streamed one.
    columns: usize,
    rows: usize,
    strides: Strides,
    sums: &'a mut [f32],
}

impl WithSimd for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for column in (0..self.columns).step_by(VECTORS) {
            // The whole tile where the registers hold it, two halves elsewhere.
            if S::REGISTER_COUNT >= 32 {
                self.tile::<S, ROWS>(simd, column, 0);
            } else {
                self.tile::<S, { ROWS / 2 }>(simd, column, 0);
                self.tile::<S, { ROWS / 2 }>(simd, column, ROWS / 2);
            }
        }
    }
}

impl Tiles<'_> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, first_column: usize, first_row: usize) {
        let columns = self.kept.vectors::<S, VECTORS>(first_column);
        let rows = self.streamed.vectors::<S, R>(first_row);
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; R];
        for k in 0..columns[0].len() {
            for (row, sums) in rows.iter().zip(&mut sums) {
                for (column, sum) in columns.iter().zip(sums) {
                    *sum = simd.mul_add_e_f32s(row[k], column[k], *sum);
                }
            }
        }
        // All lanes are reduced first: sums that are indexed one by one would not stay in registers.
        let mut numbers = [[0.0; VECTORS]; R];
        for (numbers, sums) in numbers.iter_mut().zip(&sums) {
            for (number, sum) in numbers.iter_mut().zip(sums) {
                *number = simd.reduce_sum_f32s(*sum);
            }
        }
        let rows = self.rows.saturating_sub(first_row);
        let columns = self.columns.saturating_sub(first_column);
        for (r, numbers) in numbers.iter().enumerate().take(rows) {
            for (c, number) in numbers.iter().enumerate().take(columns) {
                let column = (first_column + c) * self.strides.kept;
                self.sums[column + (first_row + r) * self.strides.streamed] += number;
            }
        }
    }
}

#[cfg(test)]
mod tests;
