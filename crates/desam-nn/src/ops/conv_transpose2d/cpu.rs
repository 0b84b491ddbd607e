//! Transposed 2×2 convolution in f32 on the CPU: forward, input gradient, weight gradient.

use crate::ops::conv2d::cpu::nchw;
use crate::ops::gemm_conv::{
    self, ConvKernel, ImageDims, ImageSource, NchwView, RowIndex, StripSums, Window, implicit_gemm,
    implicit_gemm_with,
};
use crate::ops::matmul::{Stored, dense};
use candle_core::Result;

/// Images `[B, O, 2H, 2W]` read as `[B, 4 O, H, W]` (space to depth): each position of a 2×2 block is
/// a channel.
struct SpaceToDepth<'a>(NchwView<'a>);

impl ImageSource for SpaceToDepth<'_> {
    fn planes(&self) -> ImageDims {
        let ImageDims { images, channels, height, width } = self.0.planes;
        ImageDims { images, channels: 4 * channels, height: height / 2, width: width / 2 }
    }

    fn read(&self, at: RowIndex, out: &mut [f32]) {
        let (row, column) = (2 * at.row + at.channel % 4 / 2, at.channel % 2);
        let begin = self.0.planes.index(RowIndex { channel: at.channel / 4, row, ..at });
        let (pairs, _) = self.0.values[begin..begin + 2 * out.len()].as_chunks::<2>();
        out.iter_mut().zip(pairs).for_each(|(out, pair)| *out = pair[column]);
    }
}

pub(super) fn output(x: Stored<'_>, w: Stored<'_>) -> Result<Vec<f32>> {
    let (channels, outputs, _, _) = w.1.shape().dims4()?;
    let (values, source) = (dense::<f32>(w)?, nchw(x)?);
    let kernel = ConvKernel { values, inputs: 4 * outputs, window: Window::POINT };
    // Stored as [inputs, 4 · outputs]: a convolution's kernel, transposed.
    let weights = kernel.pack_flipped_transposed(channels, 0..kernel.inputs);
    let width = source.planes.width;
    Ok(implicit_gemm_with(&source, &weights, 4, |strip| depth_to_space(strip, width)).values)
}

/// Depth to space: four rows of the product become the 2×2 blocks of one plane.
fn depth_to_space(strip: StripSums<'_>, width: usize) {
    for (plane, from) in strip.parts.into_iter().zip(strip.sums.chunks_exact(4 * strip.pixels)) {
        let (upper, lower) = from.split_at(2 * strip.pixels);
        for (y, lines) in plane.chunks_exact_mut(4 * width).enumerate() {
            let at = y * width..(y + 1) * width;
            for (line, pair) in lines.chunks_exact_mut(2 * width).zip([upper, lower]) {
                let (left, right) = pair.split_at(strip.pixels);
                let (blocks, _) = line.as_chunks_mut::<2>();
                let columns = left[at.clone()].iter().zip(&right[at.clone()]);
                for (block, (left, right)) in blocks.iter_mut().zip(columns) {
                    block[0].write(*left);
                    block[1].write(*right);
                }
            }
        }
    }
}

pub(super) fn input_gradient(grad: Stored<'_>, w: Stored<'_>) -> Result<Vec<f32>> {
    let (inputs, outputs, _, _) = w.1.shape().dims4()?;
    let kernel =
        ConvKernel { values: dense::<f32>(w)?, inputs: 4 * outputs, window: Window::POINT };
    Ok(implicit_gemm(&SpaceToDepth(nchw(grad)?), &kernel.pack(inputs)))
}

pub(super) fn weight_gradient(grad: Stored<'_>, x: Stored<'_>) -> Result<Vec<f32>> {
    // The input takes the gradient's part: rows of the weight are input channels.
    Ok(gemm_conv::weight_gradient(&nchw(x)?, &SpaceToDepth(nchw(grad)?), Window::POINT))
}
