//! Depthwise convolution in f32 on the CPU: a task for each output row, channels across the lanes.

use super::DepthwiseSizes;
use crate::ops::matmul::dense;
use crate::ops::pointwise::{Activation, Gelu, Relu};
use crate::ops::vector::{Map, build, each, fma, kernel};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};

/// The op `(x, weight, bias) → y`, without a gradient.
pub(super) struct Depthwise {
    pub(super) sizes: DepthwiseSizes,
    pub(super) activation: Activation,
}

impl CustomOp3 for Depthwise {
    fn name(&self) -> &'static str {
        "desam-depthwise-conv"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) =
            (dense::<f32>((x, xl))?, dense::<f32>((w, wl))?, dense::<f32>((b, bl))?);
        let DepthwiseSizes { images, height, width, channels, stride } = self.sizes;
        let [rows, columns] = self.sizes.output();
        let taps = Taps::new(weight, bias, stride);
        let line = width * channels;
        let padding = vec![0.0; line];
        let y = build(images * rows * columns * channels, columns * channels, |index, y| {
            let (image, row) = (index / rows.max(1), index % rows.max(1));
            // The tap's row of the image; zeros beyond its edges.
            let from = [0, 1, 2].map(|tap| match (row * stride + tap).checked_sub(1) {
                Some(row) if row < height => &x[(image * height + row) * line..][..line],
                _ => &padding[..],
            });
            convolve_row(from, &taps, y);
            activate(self.activation, y);
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), Shape::from((images, rows, columns, channels))))
    }
}

/// The kernels tap by tap, so that a tap's weights of all channels lie next to each other.
struct Taps<'a> {
    /// `[9, C]`
    weights: Vec<f32>,
    bias: &'a [f32],
    /// A pixel of padding.
    zeros: Vec<f32>,
    stride: usize,
}

impl<'a> Taps<'a> {
    fn new(weight: &[f32], bias: &'a [f32], stride: usize) -> Self {
        let channels = bias.len();
        let mut weights = vec![0.0; 9 * channels];
        for (channel, kernel) in weight.chunks_exact(9).enumerate() {
            for (tap, value) in kernel.iter().enumerate() {
                weights[tap * channels + channel] = *value;
            }
        }
        Self { weights, bias, zeros: vec![0.0; channels], stride }
    }
}

kernel! {
    /// One row of the output from the three rows of the image that it sees. Every output is summed in
    /// the same order, padding included.
    fn convolve_row(simd: S, rows: [&'a [f32]; 3], taps: &'a Taps<'a>, y: &'a mut [f32]) -> () {
        let channels = taps.bias.len();
        if channels == 0 {
            return;
        }
        let weight = |tap: usize| &taps.weights[tap * channels..(tap + 1) * channels];
        let [w0, w1, w2, w3, w4, w5, w6, w7, w8] = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(weight);
        let width = rows[0].len() / channels;
        let bias = taps.bias;
        for (column, y) in y.chunks_exact_mut(channels).enumerate() {
            let pixel = |tap: usize| match (column * taps.stride + tap % 3).checked_sub(1) {
                Some(x) if x < width => &rows[tap / 3][x * channels..(x + 1) * channels],
                _ => &taps.zeros[..],
            };
            let [x0, x1, x2, x3, x4, x5, x6, x7, x8] = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(pixel);
            each!(simd: S;
                b in bias, a0 in x0, k0 in w0, a1 in x1, k1 in w1, a2 in x2, k2 in w2,
                a3 in x3, k3 in w3, a4 in x4, k4 in w4, a5 in x5, k5 in w5,
                a6 in x6, k6 in w6, a7 in x7, k7 in w7, a8 in x8, k8 in w8;
                sum in y => {
                    sum = fma(simd, a2, k2, fma(simd, a1, k1, fma(simd, a0, k0, b)));
                    sum = fma(simd, a5, k5, fma(simd, a4, k4, fma(simd, a3, k3, sum)));
                    sum = fma(simd, a8, k8, fma(simd, a7, k7, fma(simd, a6, k6, sum)));
                });
        }
    }
}

kernel! {
    fn activate(simd: S, activation: Activation, y: &'a mut [f32]) -> () {
        match activation {
            Activation::Identity => {}
            Activation::Gelu => each!(simd: S; ; v in y => { v = Gelu.at(simd, v); }),
            Activation::Relu => each!(simd: S; ; v in y => { v = Relu.at(simd, v); }),
        }
    }
}
