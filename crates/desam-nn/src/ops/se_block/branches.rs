//! From the block's output back to the two branches of its last sum.

use super::forward::{Map, Shortcut};
use super::{GATE, SLOPE};
use crate::ops::gemm_conv::Planes;
use crate::ops::instance_norm::Moments;
use crate::ops::instance_norm::cpu::{before_norm, before_rectifier};
use crate::ops::vector::{build, each, fma, kernel};
use candle_core::Result;
use rayon::prelude::*;

/// The block's output and its gradient, `[B, O, H, W]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind<'a> {
    pub(super) output: &'a [f32],
    pub(super) grad: &'a [f32],
}

impl Behind<'_> {
    /// Before the shortcut's norm, if it has one, in the place of what the norm read. The output has
    /// the sign of the sum.
    pub(super) fn shortcut(&self, norm: Option<Map<'static>>, planes: Planes) -> Result<Vec<f32>> {
        let pixels = planes.pixels();
        let rectified = |index: usize, h: &mut [f32]| {
            let at = index * pixels..(index + 1) * pixels;
            before_rectifier([&self.output[at.clone()], &self.grad[at]], h, 0.0, [1.0, SLOPE]);
        };
        let Some(Map { values, moments, .. }) = norm else {
            return build(self.grad.len(), pixels, |index, h| {
                rectified(index, h);
                Ok(())
            });
        };
        let mut values = values.into_owned();
        let each = values.par_chunks_exact_mut(pixels.max(1)).enumerate();
        each.for_each_init(Vec::new, |h: &mut Vec<f32>, (index, x)| {
            h.resize(pixels, 0.0);
            rectified(index, h);
            before_norm(x, h, moments[index]);
            x.copy_from_slice(h);
        });
        Ok(values)
    }

    /// Before the gated branch's norm, whose moments are `norms`.
    pub(super) fn gated(
        &self,
        norms: &[Moments],
        shortcut: Shortcut<'_>,
        planes: Planes,
    ) -> Result<Vec<f32>> {
        let pixels = planes.pixels();
        build(self.grad.len(), pixels, |index, h| {
            let at = index * pixels..(index + 1) * pixels;
            let (other, norm) = shortcut.plane(index, pixels);
            let inputs = [&self.output[at.clone()], &self.grad[at], other];
            let [mut mean, mut along] = [0.0; 2];
            for (part, h) in h.chunks_mut(PART).enumerate() {
                let at = part * PART..part * PART + h.len();
                let sums =
                    open([&inputs[0][at.clone()], &inputs[1][at.clone()], &inputs[2][at]], h, norm);
                mean += f64::from(sums[0]) / pixels as f64;
                along += f64::from(sums[1]) / pixels as f64;
            }
            let means = [mean as f32, along as f32];
            close([inputs[0], inputs[2]], h, norm, (norms[index].scale, means));
            Ok(())
        })
    }
}

/// Numbers that are summed in single precision.
const PART: usize = 4096;

/// Binds `$n`, the gated branch behind its norm, from the block's output `$y` and the shortcut `$o`
/// before its norm.
macro_rules! normal {
    ($simd:ident, $y:ident, $o:ident, $norm:ident) => {{
        let falls = $simd.less_than_f32s($y, $simd.splat_f32s(0.0));
        let steep = $simd.mul_f32s($y, $simd.splat_f32s(1.0 / SLOPE));
        let sum = $simd.select_f32s(falls, steep, $y);
        let off = $simd.sub_f32s($o, $simd.splat_f32s($norm.mean));
        let rest = fma($simd, off, $simd.splat_f32s(-$norm.scale), sum);
        $simd.mul_f32s(rest, $simd.splat_f32s(1.0 / GATE))
    }};
}

kernel! {
    /// The gradient behind the norm, `h`, and the sums of `h` and of `h · n`.
    fn open(simd: S, inputs: [&'a [f32]; 3], h: &'a mut [f32], norm: Moments) -> [f32; 2] {
        let ([ys, gs, os], hs) = (inputs, h);
        let (mut sum, mut along) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
        let (rising, falling) = (simd.splat_f32s(GATE), simd.splat_f32s(GATE * SLOPE));
        each!(simd: S; y in ys, g in gs, o in os; h in hs => {
            let n = normal!(simd, y, o, norm);
            let rises = simd.greater_than_f32s(y, simd.splat_f32s(0.0));
            h = simd.mul_f32s(g, simd.select_f32s(rises, rising, falling));
            sum = simd.add_f32s(sum, h);
            along = fma(simd, h, n, along);
        });
        [simd.reduce_sum_f32s(sum), simd.reduce_sum_f32s(along)]
    }
}

kernel! {
    /// `h ← scale · (h - mean(h) - n · mean(h · n))`
    fn close(
        simd: S,
        inputs: [&'a [f32]; 2],
        h: &'a mut [f32],
        norm: Moments,
        scale_and_means: (f32, [f32; 2]),
    ) -> () {
        let ([ys, os], hs, (scale, [mean, along])) = (inputs, h, scale_and_means);
        let (scale, mean) = (simd.splat_f32s(scale), simd.splat_f32s(mean));
        let tilt = simd.splat_f32s(-along);
        each!(simd: S; y in ys, o in os; h in hs => {
            let n = normal!(simd, y, o, norm);
            h = simd.mul_f32s(fma(simd, n, tilt, simd.sub_f32s(h, mean)), scale);
        });
    }
}
