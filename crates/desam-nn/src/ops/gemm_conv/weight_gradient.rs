//! The weights' gradient: a product summed over the pixels of all images.

use super::microkernel::{ROWS, VECTORS, multiply};
use super::operands::{Left, Right, Spot, Target};
use super::source::{At, Band, Planes, Source, Window};
use super::weight_gradient_1x1::correlate_points;
use crate::ops::vector::dispatch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Pixels that are summed between two looks at the result.
const PIXELS: usize = 1024;

/// Most numbers of both sides that a thread holds at once, margins included: its second cache.
const HELD: usize = 320 << 10;

/// Parts of the sum that are made apart and then added in their order, and most numbers of all
/// their results. They depend on sizes alone, never on the threads.
const PARTS: usize = 16;
const PARTS_HELD: usize = 8 << 20;

/// Bands that a part has at least, since a band need not turn the rows that it shares with the one
/// before; but a few parts there are.
const BANDS: usize = 4;
const FEW: usize = 4;

/// `out[o, i, ky, kx] = Σ left[b, o, y, x] · right[b, i, y + ky - m, x + kx - m]` over `b`, `y` and
/// `x`, `m` the window's margin: `[left channels, right channels, side, side]`.
pub(crate) fn correlate(left: &dyn Source, right: &dyn Source, window: Window) -> Vec<f32> {
    if window.side == 1 {
        return correlate_points(left, right);
    }
    let (outputs, planes) = (left.planes().channels, right.planes());
    let grid = Grid::new(outputs, planes, window);
    let band = |image: usize, start: usize| Band {
        image,
        rows: start..(start + grid.rows).min(planes.height),
        window,
    };
    let of_image = |image| (0..planes.height).step_by(grid.rows).map(move |y| (image, y));
    let bands: Vec<_> = (0..planes.images).flat_map(of_image).map(|(b, y)| band(b, y)).collect();
    let len = grid.tiles.len() * grid.tile_len();
    let parts = PARTS.min(PARTS_HELD / len.max(1)).min(bands.len() / BANDS).max(FEW);
    let part = |bands: &[Band]| {
        let (mut sums, mut held) = (vec![0.0; len], Held::default());
        for band in bands {
            held.take(left, right, band);
            let tiles = sums.chunks_mut(grid.tile_len().max(1)).zip(&grid.tiles);
            tiles.for_each(|(sums, spots)| {
                dispatch(OneTile { held: &held, spots, sums, outputs });
            });
        }
        sums
    };
    let parts = bands.par_chunks(bands.len().div_ceil(parts).max(1)).map(part);
    let sums = parts.collect::<Vec<_>>().into_iter().reduce(|mut sum, part| {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        sum
    });
    grid.unpack(&sums.unwrap_or_else(|| vec![0.0; len]))
}

/// How the result is cut into tiles.
struct Grid {
    outputs: usize,
    inputs: usize,
    taps: usize,
    lanes: usize,
    /// Rows of a band.
    rows: usize,
    /// The spots of each tile.
    tiles: Vec<Vec<Spot>>,
    /// Of every spot in order: its window place and its first channel.
    places: Vec<(usize, usize)>,
}

impl Grid {
    fn new(outputs: usize, planes: Planes, window: Window) -> Self {
        let (lanes, inputs) = (dispatch(Lanes), planes.channels);
        let wide = planes.width + 2 * window.margin();
        let most = HELD.saturating_sub(2 * window.margin() * wide * inputs);
        let most = most / (wide * inputs + planes.width * outputs).max(1);
        let rows = (PIXELS / planes.width.max(1)).min(most).max(1);
        let places: Vec<(usize, usize)> = (0..window.taps())
            .flat_map(|tap| (0..inputs).step_by(lanes).map(move |channel| (tap, channel)))
            .collect();
        let spot = |(v, &(tap, channel)): (usize, &(usize, usize))| Spot {
            from: (tap / window.side * wide + tap % window.side) * inputs + channel,
            to: v * lanes,
            len: lanes.min(inputs - channel),
        };
        let tiles = places.chunks(VECTORS).map(|tile| tile.iter().enumerate().map(spot).collect());
        let tiles = tiles.collect();
        Self { outputs, inputs, taps: window.taps(), lanes, rows, tiles, places }
    }

    /// Numbers of one tile's result, `[outputs, vectors]`.
    fn tile_len(&self) -> usize {
        self.outputs * VECTORS * self.lanes
    }

    /// Tiles → `[outputs, inputs, taps]`.
    fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.outputs * self.inputs * self.taps];
        let stride = VECTORS * self.lanes;
        out.par_chunks_mut((self.inputs * self.taps).max(1)).enumerate().for_each(|(o, out)| {
            for (index, &(tap, channel)) in self.places.iter().enumerate() {
                let tile = index / VECTORS * self.tile_len();
                let begin = tile + o * stride + index % VECTORS * self.lanes;
                let channels = channel..(channel + self.lanes).min(self.inputs);
                for (from, channel) in sums[begin..].iter().zip(channels) {
                    out[channel * self.taps + tap] = *from;
                }
            }
        });
        out
    }
}

/// Lanes of the vectors that this machine has.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> usize {
        S::F32_LANES
    }
}

/// A band of both sides, turned so that the sum runs over pixels.
#[derive(Default)]
struct Held {
    /// `[panels, pixels, ROWS]`.
    left: Vec<f32>,
    /// `[rows with margins, width with margins, channels]`.
    right: Vec<f32>,
    /// Where each pixel begins in the right side.
    offsets: Vec<usize>,
    pixels: usize,
    /// The image and the rows that were held before.
    before: Option<(usize, Range<usize>)>,
    /// Rows on their way from one order to the other.
    lines: Vec<f32>,
}

/// More than any machine's vector, so that the last one may be read whole.
const BEYOND: usize = 16;

impl Held {
    /// Moves the right side's rows that the band before, the next above, has in common with `band`
    /// to where they belong now, and says how many they are.
    fn rows_kept(&mut self, band: &Band, line: usize) -> usize {
        let before = self.before.replace((band.image, band.rows.clone()));
        let common = 2 * band.window.margin();
        match before {
            Some((image, rows)) if image == band.image && rows.end == band.rows.start => {
                let first = rows.len() * line;
                self.right.copy_within(first..first + common * line, 0);
                common
            }
            _ => 0,
        }
    }

    fn take(&mut self, left: &dyn Source, right: &dyn Source, band: &Band) {
        let (planes, margin) = (right.planes(), band.window.margin());
        let (wide, channels) = (planes.width + 2 * margin, planes.channels);
        self.pixels = band.rows.len() * planes.width;
        self.offsets.clear();
        for y in 0..band.rows.len() {
            self.offsets.extend((0..planes.width).map(|x| (y * wide + x) * channels));
        }
        self.left.resize(left.planes().channels.div_ceil(ROWS) * self.pixels * ROWS, 0.0);
        let panels = self.left.chunks_mut((self.pixels * ROWS).max(1));
        for (panel, out) in panels.enumerate() {
            for (y, row) in band.rows.clone().enumerate() {
                let out = &mut out[y * planes.width * ROWS..(y + 1) * planes.width * ROWS];
                let at = At { image: band.image, channel: panel * ROWS, row };
                turn::<ROWS>(left, at, ROWS, out, &mut self.lines);
            }
        }
        let line = wide * channels;
        let kept = self.rows_kept(band, line);
        self.right.resize(band.height() * line + BEYOND, 0.0);
        for y in kept..band.height() {
            let out = &mut self.right[y * line..(y + 1) * line];
            let Some(row) = band.source_row(y, planes) else {
                out.fill(0.0);
                continue;
            };
            let inner = margin * channels..(margin + planes.width) * channels;
            out[..inner.start].fill(0.0);
            out[inner.end..].fill(0.0);
            for channel in (0..channels).step_by(BEYOND) {
                let at = At { image: band.image, channel, row };
                let out = &mut out[inner.start + channel..inner.end];
                turn::<BEYOND>(right, at, channels, out, &mut self.lines);
            }
        }
    }
}

/// `N` channels of a row with the pixel outermost: pixel `x` begins at `x · stride` of `out`.
/// Channels that are not there become zeros where `stride` leaves room for them.
fn turn<const N: usize>(
    source: &dyn Source,
    at: At,
    stride: usize,
    out: &mut [f32],
    lines: &mut Vec<f32>,
) {
    let planes = source.planes();
    let width = planes.width;
    let channels = N.min(planes.channels - at.channel);
    lines.resize(N * width, 0.0);
    for (c, line) in lines.chunks_exact_mut(width.max(1)).enumerate() {
        match c < channels {
            true => source.read(At { channel: at.channel + c, ..at }, line),
            false => line.fill(0.0),
        }
    }
    let wanted = if stride == N { N } else { channels };
    for (x, out) in out.chunks_mut(stride).enumerate() {
        if wanted == N {
            let mut pixel = [0.0; N];
            for (c, pixel) in pixel.iter_mut().enumerate() {
                *pixel = lines[c * width + x];
            }
            out[..N].copy_from_slice(&pixel);
        } else {
            for (c, out) in out[..wanted].iter_mut().enumerate() {
                *out = lines[c * width + x];
            }
        }
    }
}

struct OneTile<'a> {
    held: &'a Held,
    spots: &'a [Spot],
    sums: &'a mut [f32],
    outputs: usize,
}

impl WithSimd for OneTile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { held, spots, sums, outputs } = self;
        let stride = VECTORS * S::F32_LANES;
        let right = Right::new(&held.right, &held.offsets);
        let panels = held.left.chunks_exact((held.pixels * ROWS).max(1));
        for ((panel, values), first) in
            panels.zip(sums.chunks_mut(ROWS * stride)).zip((0..outputs).step_by(ROWS))
        {
            let rows = ROWS.min(outputs - first);
            let mut target = Target { values, stride, rows, add: true };
            multiply(simd, Left::panel(panel), right, spots, &mut target);
        }
    }
}
