//! Instance norm and its gradient on the CPU, a plane at a time.

use super::Moments;
use crate::ops::vector::{CentredProducts, Values, each, fma, kernel, sum};

kernel! {
    /// Instance norm of a plane and LeakyReLU: `y ← leaky((x - mean) · scale)`; a slope of 1 is the
    /// norm only.
    pub(crate) fn normalise(simd: S, x: &'a [f32], y: &'a mut [f32], m: Moments, slope: f32) -> () {
        let (mean, scale) = (simd.splat_f32s(m.mean), simd.splat_f32s(m.scale));
        let (zero, slope) = (simd.splat_f32s(0.0), simd.splat_f32s(slope));
        let (xs, ys) = (x, y);
        each!(simd: S; x in xs; y in ys => {
            let normal = simd.mul_f32s(simd.sub_f32s(x, mean), scale);
            let negative = simd.less_than_f32s(normal, zero);
            y = simd.select_f32s(negative, simd.mul_f32s(normal, slope), normal);
        });
    }
}

kernel! {
    /// Gradient of LeakyReLU: `h ← grad`, times `slope` where `x` is not above `threshold` (the mean,
    /// where `x` is not normalised yet).
    pub(crate) fn leaky_relu_backward(
        simd: S,
        inputs: [&'a [f32]; 2],
        h: &'a mut [f32],
        threshold: f32,
        slope: f32,
    ) -> () {
        let ([xs, gs], hs) = (inputs, h);
        let (threshold, rising) = (simd.splat_f32s(threshold), simd.splat_f32s(1.0));
        let falling = simd.splat_f32s(slope);
        each!(simd: S; x in xs, g in gs; h in hs => {
            let rises = simd.greater_than_f32s(x, threshold);
            h = simd.mul_f32s(g, simd.select_f32s(rises, rising, falling));
        });
    }
}

kernel! {
    /// Instance-norm gradient, in place: with `n` the normalised `x` and `h` the gradient of the norm's
    /// output, `h ← scale · (h - mean(h) - n · mean(h · n))`.
    pub(crate) fn norm_backward(simd: S, x: &'a [f32], h: &'a mut [f32], m: Moments) -> () {
        let count = h.len().max(1) as f32;
        let mean_h = sum(simd, Values, [h, h], 0.0) / count;
        let dot = sum(simd, CentredProducts { mean: m.mean }, [h, x], m.mean) / count * m.scale;
        // scale · (h - mean_h - (x - mean) · scale · dot)
        let tilt = simd.splat_f32s(-m.scale * dot);
        let (mean, scale) = (simd.splat_f32s(m.mean), simd.splat_f32s(m.scale));
        let mean_h = simd.splat_f32s(mean_h);
        let (xs, hs) = (x, h);
        each!(simd: S; x in xs; h in hs => {
            let off = simd.sub_f32s(h, mean_h);
            h = simd.mul_f32s(fma(simd, simd.sub_f32s(x, mean), tilt, off), scale);
        });
    }
}
