//! The weights' gradient of a window of one pixel: rows of both sides are multiplied as they lie.
//!
//! Vectors run along the pixels, so nothing is turned; a tile's sums are vectors, whose lanes are
//! added when a band is done.

use super::microkernel::{ROWS, VECTORS};
use super::source::{At, Band, Planes, Source, Window};
use crate::ops::vector::dispatch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Pixels of a band: [`ROWS`] channels of them stay in the nearest cache while all others pass by,
/// and adding up the lanes is a tenth of the work.
const PIXELS: usize = 1024;

/// Most numbers of the side that is held whole: half of a second cache.
const HELD: usize = 256 << 10;

/// Fewest pixels of a band where that side is wide.
const FEWEST: usize = 256;

/// Parts of the sum that are made apart and then added in their order, bands that a part has at
/// least, parts that there are in any case, and most numbers of all their results. They depend on
/// sizes alone, never on the threads.
const PARTS: usize = 16;
const BANDS: usize = 4;
const FEW: usize = 4;
const PARTS_HELD: usize = 8 << 20;

/// Numbers of a result that a thread adds up at once.
const CHUNK: usize = 1 << 12;

/// `out[l, r] = Σ left[b, l, y, x] · right[b, r, y, x]` over `b`, `y` and `x`:
/// `[left channels, right channels]`.
pub(super) fn correlate_points(left: &dyn Source, right: &dyn Source) -> Vec<f32> {
    let (rows, columns) = (left.planes().channels, right.planes().channels);
    // The side with fewer channels is held whole; of the other a few channels at a time are read.
    let sides = match rows < columns {
        true => Sides { held: left, passing: right, steps: [columns, 1] },
        false => Sides { held: right, passing: left, steps: [1, columns] },
    };
    let len = rows * columns;
    let bands = sides.bands();
    let parts = PARTS.min(PARTS_HELD / len.max(1)).min(bands.len() / BANDS).max(FEW);
    let parts = bands.par_chunks(bands.len().div_ceil(parts).max(1));
    let parts: Vec<_> = parts.map(|bands| sides.part(bands, len)).collect();
    let mut parts = parts.into_iter();
    let mut sums = parts.next().unwrap_or_else(|| vec![0.0; len]);
    let others = parts.as_slice();
    sums.par_chunks_mut(CHUNK).enumerate().for_each(|(index, sums)| {
        for part in others {
            let part = &part[index * CHUNK..][..sums.len()];
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    });
    sums
}

/// Both sides of the sum.
struct Sides<'a> {
    held: &'a dyn Source,
    passing: &'a dyn Source,
    /// From one channel to the next in the result: of the side that is held, and of the other.
    steps: [usize; 2],
}

impl Sides<'_> {
    fn bands(&self) -> Vec<Band> {
        let Planes { images, channels, height, width } = self.held.planes();
        let pixels = (HELD / channels.max(1)).clamp(FEWEST, PIXELS);
        let rows = (pixels / width.max(1)).max(1);
        let of_image = |image| {
            let starts = (0..height).step_by(rows);
            starts.map(move |y| Band {
                image,
                rows: y..(y + rows).min(height),
                window: Window { side: 1 },
            })
        };
        (0..images).flat_map(of_image).collect()
    }

    /// The sum over some bands.
    fn part(&self, bands: &[Band], len: usize) -> Vec<f32> {
        let (mut held, mut passing) = (Lines::default(), Lines::default());
        let mut sums = vec![0.0; len];
        let (fewer, more) = (self.held.planes().channels, self.passing.planes().channels);
        for band in bands {
            held.read(self.held, band, 0..fewer.next_multiple_of(VECTORS));
            for first in (0..more).step_by(ROWS) {
                passing.read(self.passing, band, first..first + ROWS);
                let sums = &mut sums[(first * self.steps[1]).min(len)..];
                let wanted = [fewer, ROWS.min(more - first)];
                dispatch(Tiles { lines: [&held, &passing], wanted, steps: self.steps, sums });
            }
        }
        sums
    }
}

/// More than any machine's vector.
const BEYOND: usize = 16;

/// Channels of a band, each a line with zeros behind it that fill its last vector.
#[derive(Default)]
struct Lines {
    values: Vec<f32>,
    stride: usize,
}

impl Lines {
    /// Channels that are not there become zeros.
    fn read(&mut self, source: &dyn Source, band: &Band, channels: Range<usize>) {
        let planes = source.planes();
        let pixels = band.rows.len() * planes.width;
        // Room for one vector more keeps lines apart that would fall on the same places of a cache.
        self.stride = pixels.next_multiple_of(BEYOND) + BEYOND;
        self.values.resize(channels.len() * self.stride, 0.0);
        for (channel, line) in channels.zip(self.values.chunks_exact_mut(self.stride)) {
            let (inner, behind) = line.split_at_mut(pixels);
            behind.fill(0.0);
            match channel < planes.channels {
                true => {
                    let at = At { image: band.image, channel, row: band.rows.start };
                    source.read_rows(at, inner);
                }
                false => inner.fill(0.0),
            }
        }
    }

    /// Lines from `first` on as vectors, as many as hold all pixels.
    #[inline(always)]
    fn vectors<S: Simd, const N: usize>(&self, first: usize) -> [&[S::f32s]; N] {
        let whole = (self.stride - BEYOND) / S::F32_LANES;
        std::array::from_fn(|n| {
            let begin = (first + n) * self.stride;
            &S::as_simd_f32s(&self.values[begin..begin + self.stride]).0[..whole]
        })
    }
}

/// [`ROWS`] channels of one side with all of the other, which comes first in each pair.
struct Tiles<'a> {
    lines: [&'a Lines; 2],
    /// Channels that are there.
    wanted: [usize; 2],
    steps: [usize; 2],
    sums: &'a mut [f32],
}

impl WithSimd for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for first in (0..self.wanted[0]).step_by(VECTORS) {
            // All rows of a tile at once where the registers hold them, half of them twice elsewhere.
            match S::REGISTER_COUNT >= 32 {
                true => self.tile::<S, ROWS>(simd, [first, 0]),
                false => {
                    self.tile::<S, { ROWS / 2 }>(simd, [first, 0]);
                    self.tile::<S, { ROWS / 2 }>(simd, [first, ROWS / 2]);
                }
            }
        }
    }
}

impl Tiles<'_> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, first: [usize; 2]) {
        let columns = self.lines[0].vectors::<S, VECTORS>(first[0]);
        let rows = self.lines[1].vectors::<S, R>(first[1]);
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; R];
        for k in 0..columns[0].len() {
            for (row, sums) in rows.iter().zip(&mut sums) {
                for (column, sum) in columns.iter().zip(sums) {
                    *sum = simd.mul_add_e_f32s(row[k], column[k], *sum);
                }
            }
        }
        // Out of the registers first: what is looked at one by one cannot stay in them.
        let mut numbers = [[0.0; VECTORS]; R];
        for (numbers, sums) in numbers.iter_mut().zip(&sums) {
            for (number, sum) in numbers.iter_mut().zip(sums) {
                *number = simd.reduce_sum_f32s(*sum);
            }
        }
        let there = |side: usize, n: usize| first[side] + n < self.wanted[side];
        for (r, numbers) in numbers.iter().enumerate().filter(|(r, _)| there(1, *r)) {
            for (c, number) in numbers.iter().enumerate().filter(|(c, _)| there(0, *c)) {
                let at = (first[0] + c) * self.steps[0] + (first[1] + r) * self.steps[1];
                self.sums[at] += number;
            }
        }
    }
}

#[cfg(test)]
mod tests;
