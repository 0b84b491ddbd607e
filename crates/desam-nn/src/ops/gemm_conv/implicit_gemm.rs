//! A product of packed weights with every pixel's window, for all images.

use super::microkernel::{ROWS, VECTORS, multiply};
use super::operands::{Left, Right, Target, spots};
use super::panels::Panels;
use super::source::{At, Band, Planes, Source, Window};
use super::store::Parts;
use crate::ops::vector::dispatch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Pixels of a band, where there are enough bands for every thread; half as many where not. It
/// depends on sizes alone, never on the threads.
const PIXELS: usize = 1024;
const BANDS_WANTED: usize = 16;

/// `out[b, o, y, x] = Σ weight[o, i, ky, kx] · source[b, i, y + ky - m, x + kx - m]`, `m` the
/// window's margin: `[images, rows, height, width]`.
pub(crate) fn product(source: &dyn Source, window: Window, weights: &Panels) -> Vec<f32> {
    let planes = source.planes();
    let len = weights.shape.rows * planes.images * planes.pixels();
    let mut values: Vec<f32> = Vec::with_capacity(len);
    product_in_place(source, (window, weights), &mut values.spare_capacity_mut()[..len], false);
    // SAFETY: bands partition every plane, and each writes all of its parts.
    #[allow(unsafe_code)]
    unsafe {
        values.set_len(len);
    }
    values
}

/// The same product added to what `sums` holds.
pub(crate) fn product_add(source: &dyn Source, window: Window, weights: &Panels, sums: &mut [f32]) {
    // SAFETY: the same numbers, to which only numbers are ever written.
    #[allow(unsafe_code)]
    let room = unsafe {
        std::slice::from_raw_parts_mut(sums.as_mut_ptr().cast::<MaybeUninit<f32>>(), sums.len())
    };
    product_in_place(source, (window, weights), room, true);
}

/// The sums go from registers to where they belong, which takes no time of its own: the last block
/// of channels adds up and writes. `add` says that there are numbers to be added to.
fn product_in_place(
    source: &dyn Source,
    (window, weights): (Window, &Panels),
    values: &mut [MaybeUninit<f32>],
    add: bool,
) {
    let tasks = bands(source.planes(), window, (weights.shape.rows, 1), values);
    tasks.into_par_iter().for_each_init(Scratch::default, |scratch, (band, mut parts)| {
        let place = Some((&mut parts[..], add));
        dispatch(OneBand { source, weights, band: &band, scratch, place });
    });
}

/// The sums of a band, and the places where they belong.
pub(crate) struct Sums<'a, T = MaybeUninit<f32>> {
    /// `[rows of the product, pixels of the band]`.
    pub(crate) sums: &'a [f32],
    /// Pixels of the band.
    pub(crate) pixels: usize,
    /// Its part of each plane of the result. Where they are new, every number is to be written.
    pub(crate) parts: Vec<&'a mut [T]>,
}

impl Sums<'_> {
    /// Every row of the product is a plane of the result.
    pub(crate) fn copy(self) {
        for (to, from) in self.parts.into_iter().zip(self.sums.chunks_exact(self.pixels)) {
            to.iter_mut().zip(from).for_each(|(to, from)| _ = to.write(*from));
        }
    }
}

/// What [`product_into`] made, and what its `write` said of every band, in order.
pub(crate) struct Written<R> {
    pub(crate) values: Vec<f32>,
    pub(crate) bands: Vec<R>,
}

/// The same product, each band's sums put where they belong by `write`. `group` rows of the product
/// make one plane of the result, which has `group` times as many numbers as the source's.
pub(crate) fn product_into<R: Send>(
    source: &dyn Source,
    product: (Window, &Panels),
    group: usize,
    write: impl Fn(Sums<'_>) -> R + Sync,
) -> Written<R> {
    let planes = source.planes();
    let len = product.1.shape.rows * planes.images * planes.pixels();
    let mut values: Vec<f32> = Vec::with_capacity(len);
    let room = &mut values.spare_capacity_mut()[..len];
    let bands = product_over(source, product, group, room, write);
    // SAFETY: bands partition every plane, and `write` fills all parts of its band.
    #[allow(unsafe_code)]
    unsafe {
        values.set_len(len);
    }
    Written { values, bands }
}

fn product_over<T: Send, R: Send>(
    source: &dyn Source,
    (window, weights): (Window, &Panels),
    group: usize,
    values: &mut [T],
    write: impl Fn(Sums<'_, T>) -> R + Sync,
) -> Vec<R> {
    let planes = source.planes();
    let tasks = bands(planes, window, (weights.shape.rows / group, group), values);
    let bands = tasks.into_par_iter().map_init(Scratch::default, |scratch, (band, parts)| {
        dispatch(OneBand { source, weights, band: &band, scratch, place: None });
        let pixels = band.rows.len() * planes.width;
        write(Sums { sums: &scratch.sums, pixels, parts })
    });
    bands.collect()
}

/// The bands of all images, each with its part of every plane of the result: `outputs` planes an
/// image, `group` times as large as the source's.
fn bands<T>(
    planes: Planes,
    window: Window,
    (outputs, group): (usize, usize),
    values: &mut [T],
) -> Vec<(Band, Vec<&mut [T]>)> {
    let plane = group * planes.pixels();
    let lines = band_rows(planes.images, planes.height, planes.width);
    let mut tasks = Vec::new();
    for (image, of_image) in values.chunks_mut((outputs * plane).max(1)).enumerate() {
        let starts = (0..planes.height).step_by(lines);
        let bands = starts.map(|y| y..(y + lines).min(planes.height));
        let first = tasks.len();
        tasks.extend(bands.map(|rows| (Band { image, rows, window }, Vec::new())));
        for plane in of_image.chunks_mut(plane) {
            let parts = plane.chunks_mut(group * lines * planes.width);
            for (task, part) in tasks[first..].iter_mut().zip(parts) {
                task.1.push(part);
            }
        }
    }
    tasks
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

struct OneBand<'a, 'b> {
    source: &'a dyn Source,
    weights: &'a Panels,
    band: &'a Band,
    scratch: &'a mut Scratch,
    /// Where the sums go in the end, and whether to what is there; or else they stay in the scratch.
    place: Option<(&'a mut [&'b mut [MaybeUninit<f32>]], bool)>,
}

impl WithSimd for OneBand<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, weights, band, scratch, mut place } = self;
        let (planes, shape, side) = (source.planes(), weights.shape, band.window.side);
        let wide = planes.width + 2 * band.window.margin();
        let plane = band.height() * wide;
        let pixels = band.rows.len() * planes.width;
        let step = shape.block();
        if place.is_none() || shape.channels > step {
            scratch.sums.resize(shape.rows * pixels, 0.0);
        }
        if shape.channels == 0 {
            scratch.sums.fill(0.0);
            if let Some((parts, false)) = &mut place {
                parts.iter_mut().for_each(|part| part.fill(MaybeUninit::new(0.0)));
            }
        }
        let spots = spots(band.rows.len(), planes.width, S::F32_LANES, |row| row * wide);
        // Tiles outermost: what a tile reads of the block stays near while all panels pass by.
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
                if let (Some((parts, add)), true) = (&mut place, first + step >= shape.channels) {
                    let parts = parts.chunks_mut(ROWS).enumerate();
                    for (panel, (index, rows)) in weights.block(first).zip(parts) {
                        let earlier = match first {
                            0 => &[],
                            _ => &scratch.sums[index * ROWS * pixels..][..rows.len() * pixels],
                        };
                        let mut parts = Parts { rows, earlier, add: *add };
                        multiply(simd, Left::panel(panel), right, spots, &mut parts);
                    }
                    continue;
                }
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
    if margin == 0 {
        return source.read_rows(At { image: band.image, channel, row: band.rows.start }, out);
    }
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
