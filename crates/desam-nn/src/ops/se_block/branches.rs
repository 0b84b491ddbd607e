//! Backward pass through the block's last sum, to its two branches.

use super::forward::{NormedMap, Shortcut};
use super::{GATE, SLOPE};
use crate::ops::gemm_conv::ImageDims;
use crate::ops::instance_norm::Moments;
use crate::ops::instance_norm::cpu::{leaky_relu_backward, norm_backward};
use crate::ops::vector::{build, each, fma, kernel};
use candle_core::Result;
use rayon::prelude::*;

/// The block's output and its gradient, `[B, O, H, W]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutputGradient<'a> {
    pub(super) output: &'a [f32],
    pub(super) grad: &'a [f32],
}

impl OutputGradient<'_> {
    /// Gradient of the shortcut's convolution (or of the input itself, without one): back through the
    /// LeakyReLU and the shortcut's norm. It overwrites the norm's input. The LeakyReLU's output has
    /// the sign of its input, the sum.
    pub(super) fn shortcut_branch(
        &self,
        norm: Option<NormedMap<'static>>,
        planes: ImageDims,
    ) -> Result<Vec<f32>> {
        let pixels = planes.pixels();
        let at_sum = |index: usize, h: &mut [f32]| {
            let at = index * pixels..(index + 1) * pixels;
            leaky_relu_backward([&self.output[at.clone()], &self.grad[at]], h, 0.0, SLOPE);
        };
        let Some(NormedMap { values, moments, .. }) = norm else {
            return build(self.grad.len(), pixels, |index, h| {
                at_sum(index, h);
                Ok(())
            });
        };
        let mut values = values.into_owned();
        let each = values.par_chunks_exact_mut(pixels.max(1)).enumerate();
        each.for_each_init(Vec::new, |h: &mut Vec<f32>, (index, x)| {
            h.resize(pixels, 0.0);
            at_sum(index, h);
            norm_backward(x, h, moments[index]);
            x.copy_from_slice(h);
        });
        Ok(values)
    }

    /// Gradient of the gated branch's convolution: back through the LeakyReLU, the gate and the norm,
    /// whose moments are `norms`.
    pub(super) fn gated_branch(
        &self,
        norms: &[Moments],
        shortcut: Shortcut<'_>,
        planes: ImageDims,
    ) -> Result<Vec<f32>> {
        let pixels = planes.pixels();
        build(self.grad.len(), pixels, |index, h| {
            let at = index * pixels..(index + 1) * pixels;
            let (other, norm) = shortcut.plane(index, pixels);
            let inputs = [&self.output[at.clone()], &self.grad[at], other];
            let [mut mean, mut dot] = [0.0; 2];
            for (part, h) in h.chunks_mut(MAX_F32_SUM).enumerate() {
                let at = part * MAX_F32_SUM..part * MAX_F32_SUM + h.len();
                let part = [&inputs[0][at.clone()], &inputs[1][at.clone()], &inputs[2][at]];
                let sums = gate_backward(part, h, norm);
                mean += f64::from(sums.h) / pixels as f64;
                dot += f64::from(sums.h_normal) / pixels as f64;
            }
            let means = GradientMeans { h: mean as f32, h_normal: dot as f32 };
            gated_norm_backward([inputs[0], inputs[2]], h, norm, norms[index].scale, means);
            Ok(())
        })
    }
}

/// Numbers that are summed in single precision; the sums of a plane's parts are added in f64, so that
/// the error does not grow with the image.
const MAX_F32_SUM: usize = 4096;

/// Recomputes `$n`, the normalised gated branch, from the block's output `$y` and the shortcut `$o`
/// before its norm: the LeakyReLU, the sum and the gate inverted.
macro_rules! normal {
    ($simd:ident, $y:ident, $o:ident, $norm:ident) => {{
        let negative = $simd.less_than_f32s($y, $simd.splat_f32s(0.0));
        let steep = $simd.mul_f32s($y, $simd.splat_f32s(1.0 / SLOPE));
        let sum = $simd.select_f32s(negative, steep, $y);
        let off = $simd.sub_f32s($o, $simd.splat_f32s($norm.mean));
        let rest = fma($simd, off, $simd.splat_f32s(-$norm.scale), sum);
        $simd.mul_f32s(rest, $simd.splat_f32s(1.0 / GATE))
    }};
}

/// Sums of the norm's output gradient `h` and of `h · n`, `n` the normalised branch.
#[derive(Debug, Clone, Copy)]
struct GradientSums {
    h: f32,
    h_normal: f32,
}

/// Means of the same over a plane.
#[derive(Debug, Clone, Copy)]
struct GradientMeans {
    h: f32,
    h_normal: f32,
}

kernel! {
    /// Gradient after the norm, `h`: back through LeakyReLU and gate; with its sums.
    fn gate_backward(
        simd: S,
        inputs: [&'a [f32]; 3],
        h: &'a mut [f32],
        norm: Moments,
    ) -> GradientSums {
        let ([ys, gs, os], hs) = (inputs, h);
        let (mut sum, mut dot) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
        let (rising, falling) = (simd.splat_f32s(GATE), simd.splat_f32s(GATE * SLOPE));
        each!(simd: S; y in ys, g in gs, o in os; h in hs => {
            let n = normal!(simd, y, o, norm);
            let rises = simd.greater_than_f32s(y, simd.splat_f32s(0.0));
            h = simd.mul_f32s(g, simd.select_f32s(rises, rising, falling));
            sum = simd.add_f32s(sum, h);
            dot = fma(simd, h, n, dot);
        });
        GradientSums { h: simd.reduce_sum_f32s(sum), h_normal: simd.reduce_sum_f32s(dot) }
    }
}

kernel! {
    /// Instance-norm gradient `h ← scale · (h - mean(h) - n · mean(h · n))`.
    fn gated_norm_backward(
        simd: S,
        inputs: [&'a [f32]; 2],
        h: &'a mut [f32],
        norm: Moments,
        scale: f32,
        means: GradientMeans,
    ) -> () {
        let ([ys, os], hs) = (inputs, h);
        let (scale, mean) = (simd.splat_f32s(scale), simd.splat_f32s(means.h));
        let tilt = simd.splat_f32s(-means.h_normal);
        each!(simd: S; y in ys, o in os; h in hs => {
            let n = normal!(simd, y, o, norm);
            h = simd.mul_f32s(fma(simd, n, tilt, simd.sub_f32s(h, mean)), scale);
        });
    }
}
