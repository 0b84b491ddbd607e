//! A product of packed weights with every pixel's window, for all images.

use super::operands::{Left, Right, Target, spots};
use super::panels::Panels;
use super::source::{At, Band, Source, Window};
use super::tile::{ROWS, VECTORS, multiply};
use crate::ops::vector::dispatch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Pixels of a band, where there are enough bands for every thread; half as many where not. It
/// depends on sizes alone, never on the threads.
const PIXELS: usize = 1024;
const BANDS_WANTED: usize = 16;

/// `out[b, o, y, x] = Σ weight[o, i, ky, kx] · source[b, i, y + ky - m, x + kx - m]`, `m` the
/// window's margin: `[images, rows, height, width]`.
pub(crate) fn product(source: &dyn Source, window: Window, weights: &Panels) -> Vec<f32> {
    let (planes, outputs) = (source.planes(), weights.shape.rows);
    let len = planes.images * outputs * planes.pixels();
    let mut out: Vec<f32> = Vec::with_capacity(len);
    let lines = band_rows(planes.images, planes.height, planes.width);
    let mut tasks = Vec::new();
    let of_images = out.spare_capacity_mut()[..len].chunks_mut((outputs * planes.pixels()).max(1));
    for (image, of_image) in of_images.enumerate() {
        let starts = (0..planes.height).step_by(lines);
        let bands = starts.map(|y| y..(y + lines).min(planes.height));
        let first = tasks.len();
        tasks.extend(bands.map(|rows| (Band { image, rows, window }, Vec::new())));
        for plane in of_image.chunks_mut(planes.pixels()) {
            for (task, part) in
                tasks[first..].iter_mut().zip(plane.chunks_mut(lines * planes.width))
            {
                task.1.push(part);
            }
        }
    }
    tasks.into_par_iter().for_each_init(Scratch::default, |scratch, (band, out)| {
        dispatch(OneBand { source, weights, band: &band, scratch });
        let pixels = band.rows.len() * planes.width;
        for (to, from) in out.into_iter().zip(scratch.sums.chunks_exact(pixels)) {
            for (to, from) in to.iter_mut().zip(from) {
                to.write(*from);
            }
        }
    });
    finished(out, len)
}

/// A vector all of whose first `len` numbers were written into its spare room.
fn finished(mut out: Vec<f32>, len: usize) -> Vec<f32> {
    // SAFETY: bands partition every plane, and each writes all of its pixels in all planes.
    #[allow(unsafe_code)]
    unsafe {
        out.set_len(len);
    }
    out
}

fn band_rows(images: usize, height: usize, width: usize) -> usize {
    let rows = |pixels: usize| pixels.div_ceil(width.max(1)).clamp(1, height.max(1));
    let many = images * height.div_ceil(rows(PIXELS)) >= BANDS_WANTED;
    if many { rows(PIXELS) } else { rows(PIXELS / 2) }
}

/// Buffers that a thread uses again.
#[derive(Default)]
struct Scratch {
    /// `[channels of a block, rows with margins, width with margins]`.
    block: Vec<f32>,
    /// `[outputs, rows, width]`.
    sums: Vec<f32>,
    offsets: Vec<usize>,
}

struct OneBand<'a> {
    source: &'a dyn Source,
    weights: &'a Panels,
    band: &'a Band,
    scratch: &'a mut Scratch,
}

impl WithSimd for OneBand<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, weights, band, scratch } = self;
        let (planes, shape, side) = (source.planes(), weights.shape, band.window.side);
        let wide = planes.width + 2 * band.window.margin();
        let plane = band.height() * wide;
        let pixels = band.rows.len() * planes.width;
        scratch.sums.resize(shape.rows * pixels, 0.0);
        if shape.channels == 0 {
            scratch.sums.fill(0.0);
        }
        let spots = spots(band.rows.len(), planes.width, S::F32_LANES, |row| row * wide);
        // Tiles outermost: what a tile reads of the block stays near while all panels pass by.
        let step = shape.block();
        for first in (0..shape.channels).step_by(step) {
            let channels = first..(first + step).min(shape.channels);
            scratch.block.resize(step * plane + S::F32_LANES, 0.0);
            scratch.offsets.clear();
            for (c, channel) in channels.enumerate() {
                fill(source, band, channel, &mut scratch.block[c * plane..(c + 1) * plane]);
                for tap in 0..shape.taps {
                    scratch.offsets.push(c * plane + tap / side * wide + tap % side);
                }
            }
            let right = Right::new(&scratch.block, &scratch.offsets);
            for spots in spots.chunks(VECTORS) {
                let panels = scratch.sums.chunks_mut((ROWS * pixels).max(1));
                for (panel, values) in weights.block(first).zip(panels) {
                    let rows = values.len() / pixels.max(1);
                    let mut target = Target { values, stride: pixels, rows, add: first > 0 };
                    multiply(simd, Left::panel(panel), right, spots, &mut target);
                }
            }
        }
    }
}

/// One channel of a band with zeros around the image.
fn fill(source: &dyn Source, band: &Band, channel: usize, out: &mut [f32]) {
    let (planes, margin) = (source.planes(), band.window.margin());
    for (y, line) in out.chunks_exact_mut(planes.width + 2 * margin).enumerate() {
        match band.source_row(y, planes) {
            Some(row) => {
                let inner = margin..margin + planes.width;
                line[..margin].fill(0.0);
                line[inner.end..].fill(0.0);
                source.read(At { image: band.image, channel, row }, &mut line[inner]);
            }
            None => line.fill(0.0),
        }
    }
}
