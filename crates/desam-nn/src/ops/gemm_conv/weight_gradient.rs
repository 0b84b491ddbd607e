//! Weight gradient of a convolution: the cross-correlation of its input with the output's gradient.
//!
//! The same register tile as the forward convolution, with the sum over pixels. The right-hand
//! vectors run along the input channels of a strip with the pixel outermost, so a tap is again a
//! step in a padded copy and the image is not unfolded.

use super::microkernel::multiply;
use super::operands::{Lhs, OutputVector, ROWS, Rhs, StridedOutput, VECTORS};
use super::partial_sums::partial_sums;
use super::source::{ImageDims, ImageSource, RowIndex, Window};
use super::strip::Strip;
use super::weight_gradient_1x1::weight_gradient_1x1;
use crate::ops::vector::{dispatch, lanes};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Pixels that are summed in registers between two updates of the result in memory.
const PIXELS: usize = 1024;

/// Most numbers of both operands that a thread holds at once, margins included: 1.25 MiB, an L2
/// cache.
const L2_NUMBERS: usize = 320 << 10;

/// The weight gradient `out[o, i, ky, kx] = Σ grad[b, o, y, x] · input[b, i, y + ky - m, x + kx - m]`
/// over `b`, `y` and `x`, `m` the window's margin → `[channels of grad, channels of input, side,
/// side]`. For a transposed convolution the operands are exchanged.
pub(crate) fn weight_gradient(
    grad: &dyn ImageSource,
    input: &dyn ImageSource,
    window: Window,
) -> Vec<f32> {
    if window.side == 1 {
        return weight_gradient_1x1(grad, input);
    }
    let (outputs, planes) = (grad.planes().channels, input.planes());
    let grid = TileGrid::new(outputs, planes, window);
    let strips = Strip::all(planes, window, grid.rows);
    let len = grid.tiles.len() * grid.tile_len();
    let partial = |strips: &[Strip]| {
        let (mut sums, mut operands) = (vec![0.0; len], StripOperands::default());
        for strip in strips {
            operands.load(grad, input, strip);
            let tiles = sums.chunks_mut(grid.tile_len().max(1)).zip(&grid.tiles);
            tiles.for_each(|(sums, vectors)| {
                dispatch(TileKernel { operands: &operands, vectors, sums, outputs });
            });
        }
        sums
    };
    let partial = partial_sums(&strips, len).map(partial).collect::<Vec<_>>();
    let sums = partial.into_iter().reduce(|mut sum, part| {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        sum
    });
    grid.unpack(&sums.unwrap_or_else(|| vec![0.0; len]))
}

/// A tap of the window with a vector of input channels: one vector of the result.
#[derive(Debug, Clone, Copy)]
struct TapChannels {
    tap: usize,
    first_channel: usize,
}

/// Division of the result into tiles: all output channels times [`VECTORS`] vectors of channels.
struct TileGrid {
    outputs: usize,
    inputs: usize,
    taps: usize,
    lanes: usize,
    /// Rows of a strip.
    rows: usize,
    /// The vectors of each tile.
    tiles: Vec<Vec<OutputVector>>,
    /// Tap and channels of each vector, in order.
    columns: Vec<TapChannels>,
}

impl TileGrid {
    fn new(outputs: usize, planes: ImageDims, window: Window) -> Self {
        let (lanes, inputs) = (lanes(), planes.channels);
        let wide = planes.width + 2 * window.margin();
        // Rows that fit into the cache in addition to the margins above and below them.
        let most = L2_NUMBERS.saturating_sub(2 * window.margin() * wide * inputs);
        let most = most / (wide * inputs + planes.width * outputs).max(1);
        let rows = (PIXELS / planes.width.max(1)).min(most).max(1);
        let of_tap = |tap| {
            let channels = (0..inputs).step_by(lanes);
            channels.map(move |first_channel| TapChannels { tap, first_channel })
        };
        let columns: Vec<TapChannels> = (0..window.taps()).flat_map(of_tap).collect();
        let vector = |v: usize, column: &TapChannels| {
            let TapChannels { tap, first_channel } = *column;
            OutputVector {
                from: (tap / window.side * wide + tap % window.side) * inputs + first_channel,
                to: v * lanes,
                len: lanes.min(inputs - first_channel),
            }
        };
        let tile = |columns: &[TapChannels]| {
            columns.iter().enumerate().map(|(v, column)| vector(v, column)).collect()
        };
        let tiles = columns.chunks(VECTORS).map(tile).collect();
        Self { outputs, inputs, taps: window.taps(), lanes, rows, tiles, columns }
    }

    /// Numbers of one tile's result, `[outputs, vectors]`.
    fn tile_len(&self) -> usize {
        self.outputs * VECTORS * self.lanes
    }

    /// Tiles → `[outputs, inputs, taps]`, the order of a kernel.
    fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.outputs * self.inputs * self.taps];
        let stride = VECTORS * self.lanes;
        out.par_chunks_mut((self.inputs * self.taps).max(1)).enumerate().for_each(|(o, out)| {
            for (index, &TapChannels { tap, first_channel }) in self.columns.iter().enumerate() {
                let tile = index / VECTORS * self.tile_len();
                let begin = tile + o * stride + index % VECTORS * self.lanes;
                let channels = first_channel..(first_channel + self.lanes).min(self.inputs);
                for (from, channel) in sums[begin..].iter().zip(channels) {
                    out[channel * self.taps + tap] = *from;
                }
            }
        });
        out
    }
}

/// Both operands of a strip, transposed so that the sum runs over pixels.
#[derive(Default)]
struct StripOperands {
    /// The output's gradient, packed: `[panels, pixels, ROWS]`.
    grad: Vec<f32>,
    /// The input, channels innermost: `[rows with margins, width with margins, channels]`.
    input: Vec<f32>,
    /// Offset of each pixel in `input`.
    offsets: Vec<usize>,
    pixels: usize,
    /// The image and the rows of the strip that was loaded last.
    last: Option<(usize, Range<usize>)>,
    /// Buffer of the rows that are being transposed.
    lines: Vec<f32>,
}

/// Channels that are transposed together, and room for reading the last vector whole: the lanes of
/// the widest vectors.
const MAX_LANES: usize = 16;

impl StripOperands {
    /// Reuses the input rows shared with the previous strip (twice the margin) if `strip` directly
    /// follows it: moves them to the front of the buffer, and returns their number.
    fn reuse_rows(&mut self, strip: &Strip, line: usize) -> usize {
        let last = self.last.replace((strip.image, strip.rows.clone()));
        let common = 2 * strip.window.margin();
        match last {
            Some((image, rows)) if image == strip.image && rows.end == strip.rows.start => {
                let first = rows.len() * line;
                self.input.copy_within(first..first + common * line, 0);
                common
            }
            _ => 0,
        }
    }

    fn load(&mut self, grad: &dyn ImageSource, input: &dyn ImageSource, strip: &Strip) {
        let (planes, margin) = (input.planes(), strip.window.margin());
        let (wide, channels) = (planes.width + 2 * margin, planes.channels);
        self.pixels = strip.rows.len() * planes.width;
        self.offsets.clear();
        for y in 0..strip.rows.len() {
            self.offsets.extend((0..planes.width).map(|x| (y * wide + x) * channels));
        }
        self.grad.resize(grad.planes().channels.div_ceil(ROWS) * self.pixels * ROWS, 0.0);
        let panels = self.grad.chunks_mut((self.pixels * ROWS).max(1));
        for (panel, out) in panels.enumerate() {
            for (y, row) in strip.rows.clone().enumerate() {
                let out = &mut out[y * planes.width * ROWS..(y + 1) * planes.width * ROWS];
                let first = RowIndex { image: strip.image, channel: panel * ROWS, row };
                transpose_row::<ROWS>(
                    grad,
                    first,
                    &mut Transposed { out, stride: ROWS },
                    &mut self.lines,
                );
            }
        }
        let line = wide * channels;
        let reused = self.reuse_rows(strip, line);
        self.input.resize(strip.height() * line + MAX_LANES, 0.0);
        for y in reused..strip.height() {
            let out = &mut self.input[y * line..(y + 1) * line];
            let Some(row) = strip.source_row(y, planes) else {
                out.fill(0.0);
                continue;
            };
            let inner = margin * channels..(margin + planes.width) * channels;
            out[..inner.start].fill(0.0);
            out[inner.end..].fill(0.0);
            for channel in (0..channels).step_by(MAX_LANES) {
                let first = RowIndex { image: strip.image, channel, row };
                let out = &mut out[inner.start + channel..inner.end];
                let mut to = Transposed { out, stride: channels };
                transpose_row::<MAX_LANES>(input, first, &mut to, &mut self.lines);
            }
        }
    }
}

/// Destination of a transposed row: pixel `x` begins at `x · stride` of `out`.
struct Transposed<'a> {
    out: &'a mut [f32],
    stride: usize,
}

/// Transposes one row of `N` channels from channel-major to pixel-major. Channels beyond the last
/// become zeros where the stride leaves room for them.
fn transpose_row<const N: usize>(
    source: &dyn ImageSource,
    first: RowIndex,
    to: &mut Transposed<'_>,
    lines: &mut Vec<f32>,
) {
    let planes = source.planes();
    let width = planes.width;
    let channels = N.min(planes.channels - first.channel);
    lines.resize(N * width, 0.0);
    for (c, line) in lines.chunks_exact_mut(width.max(1)).enumerate() {
        if c < channels {
            source.read(RowIndex { channel: first.channel + c, ..first }, line);
        } else {
            line.fill(0.0);
        }
    }
    let written = if to.stride == N { N } else { channels };
    for (x, out) in to.out.chunks_mut(to.stride).enumerate() {
        if written == N {
            // Of constant length, so that the copy is one vector store.
            let mut pixel = [0.0; N];
            for (c, pixel) in pixel.iter_mut().enumerate() {
                *pixel = lines[c * width + x];
            }
            out[..N].copy_from_slice(&pixel);
        } else {
            for (c, out) in out[..written].iter_mut().enumerate() {
                *out = lines[c * width + x];
            }
        }
    }
}

/// Adds one strip's product to the sums of one tile column.
struct TileKernel<'a> {
    operands: &'a StripOperands,
    vectors: &'a [OutputVector],
    sums: &'a mut [f32],
    outputs: usize,
}

impl WithSimd for TileKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { operands, vectors, sums, outputs } = self;
        let stride = VECTORS * S::F32_LANES;
        let rhs = Rhs::new(&operands.input, &operands.offsets);
        let panels = operands.grad.chunks_exact((operands.pixels * ROWS).max(1));
        for ((panel, values), first) in
            panels.zip(sums.chunks_mut(ROWS * stride)).zip((0..outputs).step_by(ROWS))
        {
            let rows = ROWS.min(outputs - first);
            let mut output = StridedOutput { values, stride, rows, add: true };
            multiply(simd, Lhs::panel(panel), rhs, vectors, &mut output);
        }
    }
}
