//! The three products of a transposed convolution, f32 on the CPU.

use crate::ops::conv2d::cpu::{Stored, plain};
use crate::ops::gemm_conv::{
    At, Kernel, Plain, Planes, Source, Sums, Window, correlate, product, product_into,
};
use crate::ops::matmul::dense;
use candle_core::Result;

/// Each place of a 2×2 block as a channel: `[B, O, 2H, 2W]` as `[B, 4 O, H, W]`.
struct Blocks<'a>(Plain<'a>);

impl Source for Blocks<'_> {
    fn planes(&self) -> Planes {
        let Planes { images, channels, height, width } = self.0.planes;
        Planes { images, channels: 4 * channels, height: height / 2, width: width / 2 }
    }

    fn read(&self, at: At, out: &mut [f32]) {
        let (row, column) = (2 * at.row + at.channel % 4 / 2, at.channel % 2);
        let begin = self.0.planes.index(At { channel: at.channel / 4, row, ..at });
        let (pairs, _) = self.0.values[begin..begin + 2 * out.len()].as_chunks::<2>();
        out.iter_mut().zip(pairs).for_each(|(out, pair)| *out = pair[column]);
    }
}

const POINT: Window = Window { side: 1 };

pub(super) fn output(x: Stored<'_>, w: Stored<'_>) -> Result<Vec<f32>> {
    let (channels, outputs, _, _) = w.1.shape().dims4()?;
    let (values, source) = (dense::<f32>(w)?, plain(x)?);
    let kernel = Kernel { values, inputs: 4 * outputs, taps: 1 };
    let weights = kernel.turned(channels, (0, kernel.inputs));
    let width = source.planes.width;
    Ok(product_into(&source, (POINT, &weights), 4, |band| interleave(band, width)).values)
}

/// Four rows of the product become the blocks of one plane.
fn interleave(band: Sums<'_>, width: usize) {
    for (plane, from) in band.parts.into_iter().zip(band.sums.chunks_exact(4 * band.pixels)) {
        let (upper, lower) = from.split_at(2 * band.pixels);
        for (y, lines) in plane.chunks_exact_mut(4 * width).enumerate() {
            let at = y * width..(y + 1) * width;
            for (line, pair) in lines.chunks_exact_mut(2 * width).zip([upper, lower]) {
                let (left, right) = pair.split_at(band.pixels);
                let (blocks, _) = line.as_chunks_mut::<2>();
                let places = left[at.clone()].iter().zip(&right[at.clone()]);
                for (block, (left, right)) in blocks.iter_mut().zip(places) {
                    block[0].write(*left);
                    block[1].write(*right);
                }
            }
        }
    }
}

pub(super) fn input_gradient(grad: Stored<'_>, w: Stored<'_>) -> Result<Vec<f32>> {
    let (inputs, outputs, _, _) = w.1.shape().dims4()?;
    let values = dense::<f32>(w)?;
    let weights = Kernel { values, inputs: 4 * outputs, taps: 1 }.pack(inputs);
    Ok(product(&Blocks(plain(grad)?), POINT, &weights))
}

pub(super) fn kernel_gradient(grad: Stored<'_>, x: Stored<'_>) -> Result<Vec<f32>> {
    Ok(correlate(&plain(x)?, &Blocks(plain(grad)?), POINT))
}
