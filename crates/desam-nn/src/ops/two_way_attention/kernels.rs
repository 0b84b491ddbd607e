//! Kernels of a two-way attention on a chunk of pixels: sums, layer norm, softmax weights, products.
//! Rows are channels or rows of scores, [`STRIDE`] apart.

use super::tiles::STRIDE;
use crate::ops::gemm_conv::{Lhs, OutputVector, Rhs, StridedOutput, multiply};
use crate::ops::vector::{Values, each, exp_up_to_max, fma, kernel, sum, tail_or};

/// Maximum and sum of `exp(score - max)` of one row of scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScoreMoments {
    pub(super) max: f32,
    pub(super) sum: f32,
}

kernel! {
    /// `output ← lhs · rhs` (or `+=`), `width` numbers a row.
    pub(super) fn product(
        simd: S,
        lhs: Lhs<'a>,
        rhs: Rhs<'a>,
        width: usize,
        output: StridedOutput<'a>,
    ) -> () {
        let mut output = output;
        let vectors = OutputVector::of_row(width, S::F32_LANES);
        multiply(simd, lhs, rhs, &vectors, &mut output);
    }
}

kernel! {
    /// The sum of `xs` and `to`.
    pub(super) fn add(simd: S, xs: &'a [f32], to: &'a [f32], ys: &'a mut [f32]) -> () {
        each!(simd: S; x in xs, t in to; y in ys => { y = simd.add_f32s(x, t); });
    }
}

kernel! {
    /// `y ← x` plus a bias for each row.
    pub(super) fn add_row_bias(
        simd: S,
        x: &'a [f32],
        numbers: &'a [f32],
        y: &'a mut [f32],
    ) -> () {
        let rows = x.chunks_exact(STRIDE).zip(y.chunks_exact_mut(STRIDE));
        for ((xs, ys), n) in rows.zip(numbers) {
            let n = simd.splat_f32s(*n);
            each!(simd: S; x in xs; y in ys => { y = simd.add_f32s(x, n); });
        }
    }
}

kernel! {
    /// Adds a bias to each row in place.
    pub(super) fn add_row_bias_in_place(simd: S, numbers: &'a [f32], y: &'a mut [f32]) -> () {
        for (ys, n) in y.chunks_exact_mut(STRIDE).zip(numbers) {
            let n = simd.splat_f32s(*n);
            each!(simd: S; ; y in ys => { y = simd.add_f32s(y, n); });
        }
    }
}

kernel! {
    /// Layer norm over channels, of each pixel: over the rows of each column, as many as there are
    /// weights.
    pub(super) fn normalise(
        simd: S,
        weight: &'a [f32],
        bias: &'a [f32],
        eps: f32,
        y: &'a mut [f32],
    ) -> () {
        let (mut mean, mut scale) = ([0f32; STRIDE], [0f32; STRIDE]);
        let (mean, scale) = (&mut mean[..], &mut scale[..]);
        let part = simd.splat_f32s(1.0 / weight.len().max(1) as f32);
        let y = &mut y[..weight.len() * STRIDE];
        for ys in y.chunks_exact(STRIDE) {
            each!(simd: S; y in ys; m in mean => { m = simd.add_f32s(m, y); });
        }
        each!(simd: S; ; m in mean => { m = simd.mul_f32s(m, part); });
        let mean = &*mean;
        for ys in y.chunks_exact(STRIDE) {
            each!(simd: S; y in ys, m in mean; v in scale => {
                let off = simd.sub_f32s(y, m);
                v = fma(simd, off, off, v);
            });
        }
        let (one, eps) = (simd.splat_f32s(1.0), simd.splat_f32s(eps));
        each!(simd: S; ; v in scale => {
            v = simd.div_f32s(one, simd.sqrt_f32s(fma(simd, v, part, eps)));
        });
        let scale = &*scale;
        for ((ys, w), b) in y.chunks_exact_mut(STRIDE).zip(weight).zip(bias) {
            let [w, b] = [*w, *b].map(|v| simd.splat_f32s(v));
            each!(simd: S; m in mean, r in scale; y in ys => {
                y = fma(simd, simd.mul_f32s(simd.sub_f32s(y, m), r), w, b);
            });
        }
    }
}

kernel! {
    /// Online softmax: scores become `exp(score - max)`; returns the maximum and the sum of a chunk,
    /// with which chunks are merged.
    pub(super) fn exp_scores(simd: S, scores: &'a mut [f32]) -> ScoreMoments {
        let (whole, tail) = S::as_simd_f32s(&*scores);
        let mut max = simd.splat_f32s(f32::NEG_INFINITY);
        for v in whole {
            max = simd.max_f32s(max, *v);
        }
        if !tail.is_empty() {
            max = simd.max_f32s(max, tail_or(simd, tail, f32::NEG_INFINITY));
        }
        let largest = simd.reduce_max_f32s(max);
        let max = simd.splat_f32s(largest);
        let ys = &mut *scores;
        each!(simd: S; ; y in ys => { y = exp_up_to_max(simd, simd.sub_f32s(y, max)); });
        ScoreMoments { max: largest, sum: sum(simd, Values, [&*scores, &*scores], 0.0) }
    }
}

kernel! {
    /// `sums += part · factor`, element by element along rows as long as `factor`.
    pub(super) fn add_scaled(
        simd: S,
        part: &'a [f32],
        factor: &'a [f32],
        sums: &'a mut [f32],
    ) -> () {
        let rows = part.chunks_exact(factor.len()).zip(sums.chunks_exact_mut(factor.len()));
        for (parts, sums) in rows {
            each!(simd: S; p in parts, f in factor; s in sums => { s = fma(simd, p, f, s); });
        }
    }
}
