//! Softmax over the columns of a matrix with few rows, and its gradient.

use crate::ops::vector::{each, exp_up_to_max, fma, kernel};

kernel! {
    /// Softmax of each column, in place; rows have `len` numbers.
    pub(in crate::ops) fn softmax_columns(simd: S, scores: &'a mut [f32], len: usize) -> () {
        let len = len.max(1);
        let (mut max, mut sum) = (vec![f32::NEG_INFINITY; len], vec![0f32; len]);
        let (max, sum) = (&mut max[..], &mut sum[..]);
        for row in scores.chunks_exact(len) {
            each!(simd: S; x in row; m in max => { m = simd.max_f32s(m, x); });
        }
        let max = &*max;
        for row in scores.chunks_exact_mut(len) {
            each!(simd: S; m in max; y in row, s in sum => {
                y = exp_up_to_max(simd, simd.sub_f32s(y, m));
                s = simd.add_f32s(s, y);
            });
        }
        let one = simd.splat_f32s(1.0);
        each!(simd: S; ; s in sum => { s = simd.div_f32s(one, s); });
        let sum = &*sum;
        for row in scores.chunks_exact_mut(len) {
            each!(simd: S; s in sum; y in row => { y = simd.mul_f32s(y, s); });
        }
    }
}

kernel! {
    /// Softmax gradient `ds = w · (dw - Σ w dw)` of each column, in place: `ds` holds `dw` before.
    pub(super) fn gradient_columns(
        simd: S,
        weights: &'a [f32],
        ds: &'a mut [f32],
        len: usize,
    ) -> () {
        let len = len.max(1);
        let mut dot = vec![0f32; len];
        let dot = &mut dot[..];
        for (ws, ds) in weights.chunks_exact(len).zip(ds.chunks_exact(len)) {
            each!(simd: S; w in ws, d in ds; a in dot => { a = fma(simd, w, d, a); });
        }
        let dot = &*dot;
        for (ws, ds) in weights.chunks_exact(len).zip(ds.chunks_exact_mut(len)) {
            each!(simd: S; w in ws, a in dot; d in ds => {
                d = simd.mul_f32s(w, simd.sub_f32s(d, a));
            });
        }
    }
}
