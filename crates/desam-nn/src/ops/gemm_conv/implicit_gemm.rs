//! Convolution as implicit GEMM: packed weights times the window of every pixel, without im2col.

use super::microkernel::multiply;
use super::operands::{Lhs, OutputVector, ROWS, Rhs, StridedOutput, VECTORS};
use super::panels::PackedLhs;
use super::source::{ImageDims, ImageSource, RowIndex};
use super::store::ScatteredOutput;
use super::strip::Strip;
use crate::ops::vector::dispatch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Pixels of a strip: with a block of channels they stay in the L2 cache while all panels of the
/// weights pass. Half as many where there would be fewer than [`STRIPS_WANTED`] strips, too few to
/// keep all threads busy. Both follow from sizes, never from the number of threads.
const PIXELS: usize = 1024;
const STRIPS_WANTED: usize = 16;

/// Convolves all images of `source`: `out[b, o, y, x] = Σ weight[o, i, ky, kx] · source[b, i, y + ky
/// - m, x + kx - m]`, `m` the window's margin → `[images, rows of weights, height, width]`.
pub(crate) fn implicit_gemm(source: &dyn ImageSource, weights: &PackedLhs) -> Vec<f32> {
    let planes = source.planes();
    let len = weights.rows() * planes.images * planes.pixels();
    let mut values: Vec<f32> = Vec::with_capacity(len);
    convolve_into(source, weights, &mut values.spare_capacity_mut()[..len], false);
    // SAFETY: strips partition every plane, and each writes all of its parts.
    #[allow(unsafe_code)]
    unsafe {
        values.set_len(len);
    }
    values
}

/// Adds the convolution of [`implicit_gemm`] to `sums`.
pub(crate) fn implicit_gemm_add(source: &dyn ImageSource, weights: &PackedLhs, sums: &mut [f32]) {
    // SAFETY: the same memory as uninitialised numbers, to which only numbers are ever written.
    #[allow(unsafe_code)]
    let room = unsafe {
        std::slice::from_raw_parts_mut(sums.as_mut_ptr().cast::<MaybeUninit<f32>>(), sums.len())
    };
    convolve_into(source, weights, room, true);
}

/// Convolves straight into the planes of the result: the last block of channels adds the sums of the
/// earlier ones and stores from registers, so the scattered layout of the result costs no extra pass.
/// `add` says that `values` holds numbers to be added to.
fn convolve_into(
    source: &dyn ImageSource,
    weights: &PackedLhs,
    values: &mut [MaybeUninit<f32>],
    add: bool,
) {
    let output = OutputPlanes { per_image: weights.rows(), group: 1 };
    let tasks = output.strips(source.planes(), weights, values);
    tasks.into_par_iter().for_each_init(Scratch::default, |scratch, (strip, mut rows)| {
        let output = Some(StripOutput { rows: &mut rows[..], add });
        dispatch(StripKernel { source, weights, strip: &strip, scratch, output });
    });
}

/// The sums of a strip, and the parts of the result that they are for.
pub(crate) struct StripSums<'a, T = MaybeUninit<f32>> {
    /// `[rows of the weights, pixels of the strip]`.
    pub(crate) sums: &'a [f32],
    /// Pixels of the strip.
    pub(crate) pixels: usize,
    /// The strip's part of each plane of the result. Uninitialised: every number must be written.
    pub(crate) parts: Vec<&'a mut [T]>,
}

impl StripSums<'_> {
    /// Copies the sums where every row of the weights is one plane of the result.
    pub(crate) fn copy(self) {
        for (to, from) in self.parts.into_iter().zip(self.sums.chunks_exact(self.pixels)) {
            to.iter_mut().zip(from).for_each(|(to, from)| _ = to.write(*from));
        }
    }
}

/// The result of [`implicit_gemm_with`].
pub(crate) struct Convolved<R> {
    pub(crate) values: Vec<f32>,
    /// Results of `write` for all strips, image by image, rows ascending.
    pub(crate) strips: Vec<R>,
}

/// The convolution of [`implicit_gemm`] with an epilogue: `write` stores each strip's sums while they
/// are in the cache. `group` rows of the weights make one plane of the result, which then has `group`
/// times as many numbers as a plane of the source.
pub(crate) fn implicit_gemm_with<R: Send>(
    source: &dyn ImageSource,
    weights: &PackedLhs,
    group: usize,
    write: impl Fn(StripSums<'_>) -> R + Sync,
) -> Convolved<R> {
    let planes = source.planes();
    let len = weights.rows() * planes.images * planes.pixels();
    let mut values: Vec<f32> = Vec::with_capacity(len);
    let room = &mut values.spare_capacity_mut()[..len];
    let output = OutputPlanes { per_image: weights.rows() / group, group };
    let tasks = output.strips(planes, weights, room);
    let strips = tasks.into_par_iter().map_init(Scratch::default, |scratch, (strip, parts)| {
        dispatch(StripKernel { source, weights, strip: &strip, scratch, output: None });
        let pixels = strip.rows.len() * planes.width;
        write(StripSums { sums: &scratch.sums, pixels, parts })
    });
    let strips = strips.collect();
    // SAFETY: strips partition every plane, and `write` fills all parts of its strip.
    #[allow(unsafe_code)]
    unsafe {
        values.set_len(len);
    }
    Convolved { values, strips }
}

/// Planes of the result.
#[derive(Debug, Clone, Copy)]
struct OutputPlanes {
    per_image: usize,
    /// Size of a plane, as a multiple of a plane of the source.
    group: usize,
}

impl OutputPlanes {
    /// The strips of all images, each with its part of every plane of its image in `values`.
    fn strips<'a, T>(
        self,
        source: ImageDims,
        weights: &PackedLhs,
        values: &'a mut [T],
    ) -> Vec<(Strip, Vec<&'a mut [T]>)> {
        if values.is_empty() {
            return Vec::new();
        }
        let plane = self.group * source.pixels();
        let rows = strip_rows(source);
        let strips = Strip::all(source, weights.shape.window, rows);
        let mut tasks: Vec<_> = strips.into_iter().map(|strip| (strip, Vec::new())).collect();
        let per_image = source.height.div_ceil(rows);
        let images = values.chunks_mut((self.per_image * plane).max(1));
        for (of_image, tasks) in images.zip(tasks.chunks_mut(per_image.max(1))) {
            for plane in of_image.chunks_mut(plane) {
                let parts = plane.chunks_mut(self.group * rows * source.width);
                for (task, part) in tasks.iter_mut().zip(parts) {
                    task.1.push(part);
                }
            }
        }
        tasks
    }
}

/// Rows of a strip.
fn strip_rows(source: ImageDims) -> usize {
    let ImageDims { images, height, width, .. } = source;
    let rows = |pixels: usize| pixels.div_ceil(width.max(1)).clamp(1, height.max(1));
    let many = images * height.div_ceil(rows(PIXELS)) >= STRIPS_WANTED;
    if many { rows(PIXELS) } else { rows(PIXELS / 2) }
}

/// Buffers that a thread reuses from strip to strip.
#[derive(Default)]
struct Scratch {
    /// `[channels of a block, rows with margins, width with margins]`.
    block: Vec<f32>,
    /// `[rows of the weights, rows, width]`.
    sums: Vec<f32>,
    offsets: Vec<usize>,
}

/// A strip's part of every plane of the result.
struct StripOutput<'a, 'b> {
    rows: &'a mut [&'b mut [MaybeUninit<f32>]],
    /// Whether the convolution is added to the values that are there.
    add: bool,
}

/// The convolution of one strip.
struct StripKernel<'a, 'b> {
    source: &'a dyn ImageSource,
    weights: &'a PackedLhs,
    strip: &'a Strip,
    scratch: &'a mut Scratch,
    /// Destination of the sums; without it they stay in the scratch.
    output: Option<StripOutput<'a, 'b>>,
}

impl WithSimd for StripKernel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, weights, strip, scratch, mut output } = self;
        let (planes, shape, side) = (source.planes(), weights.shape, strip.window.side);
        let wide = planes.width + 2 * strip.window.margin();
        let plane = strip.height() * wide;
        let pixels = strip.rows.len() * planes.width;
        let step = shape.block();
        if output.is_none() || shape.channels > step {
            scratch.sums.resize(shape.rows * pixels, 0.0);
        }
        if shape.channels == 0 {
            scratch.sums.fill(0.0);
            if let Some(StripOutput { rows, add: false }) = &mut output {
                rows.iter_mut().for_each(|row| row.fill(MaybeUninit::new(0.0)));
            }
        }
        let vectors =
            OutputVector::of_rows(strip.rows.len(), planes.width, S::F32_LANES, |row| row * wide);
        for first in (0..shape.channels).step_by(step) {
            let channels = first..(first + step).min(shape.channels);
            // Room for one vector more: the last one of a row is read whole.
            scratch.block.resize(step * plane + S::F32_LANES, 0.0);
            scratch.offsets.clear();
            for (c, channel) in channels.enumerate() {
                copy_padded(source, strip, channel, &mut scratch.block[c * plane..(c + 1) * plane]);
                // A tap is a step of whole rows and columns in the padded copy: this replaces im2col.
                for tap in 0..shape.window.taps() {
                    scratch.offsets.push(c * plane + tap / side * wide + tap % side);
                }
            }
            let rhs = Rhs::new(&scratch.block, &scratch.offsets);
            // Tiles outermost: what a tile reads of the block stays in L1 while all panels pass.
            for vectors in vectors.chunks(VECTORS) {
                if let (Some(StripOutput { rows, add }), true) =
                    (&mut output, first + step >= shape.channels)
                {
                    let rows = rows.chunks_mut(ROWS).enumerate();
                    for (panel, (index, rows)) in weights.block(first).zip(rows) {
                        let earlier = match first {
                            0 => &[],
                            _ => &scratch.sums[index * ROWS * pixels..][..rows.len() * pixels],
                        };
                        let mut output = ScatteredOutput { rows, earlier, add: *add };
                        multiply(simd, Lhs::panel(panel), rhs, vectors, &mut output);
                    }
                    continue;
                }
                let panels = scratch.sums.chunks_mut((ROWS * pixels).max(1));
                for (panel, values) in weights.block(first).zip(panels) {
                    let rows = values.len() / pixels.max(1);
                    let mut output = StridedOutput { values, stride: pixels, rows, add: first > 0 };
                    multiply(simd, Lhs::panel(panel), rhs, vectors, &mut output);
                }
            }
        }
    }
}

/// Copies one channel of a strip, with zeros around the image (zero padding).
fn copy_padded(source: &dyn ImageSource, strip: &Strip, channel: usize, out: &mut [f32]) {
    let (planes, margin) = (source.planes(), strip.window.margin());
    if margin == 0 {
        let first = RowIndex { image: strip.image, channel, row: strip.rows.start };
        return source.read_rows(first, out);
    }
    for (y, line) in out.chunks_exact_mut(planes.width + 2 * margin).enumerate() {
        match strip.source_row(y, planes) {
            Some(row) => {
                let inner = margin..margin + planes.width;
                line[..margin].fill(0.0);
                line[inner.end..].fill(0.0);
                source.read(RowIndex { image: strip.image, channel, row }, &mut line[inner]);
            }
            None => line.fill(0.0),
        }
    }
}
