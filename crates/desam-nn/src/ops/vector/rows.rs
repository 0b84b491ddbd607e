//! Loops and reductions over rows of numbers: whole vectors, then the tail.

use super::{fma, tail_or};
use pulp::Simd;

/// Runs a block for each vector of slices of one length, and once more for the tail, whose vector is
/// padded with zeros.
///
/// `each!(simd: S; x in xs, g in gs; y in ys => { … })` binds `x` and `g` to vectors of `xs` and
/// `gs`, and `y` to one of `ys` that the block may change. `xs`, `gs` and `ys` are names of slices.
macro_rules! each {
    (
        $simd:ident: $S:ident;
        $($x:ident in $xs:ident),*;
        $y:ident in $ys:ident $(, $z:ident in $zs:ident)* => $body:block
    ) => {{
        let $ys = $S::as_mut_simd_f32s(&mut *$ys);
        $(let $zs = $S::as_mut_simd_f32s(&mut *$zs);)*
        $(let $xs = $S::as_simd_f32s($xs);)*
        let count = $ys.0.len();
        $(let $xs = (&$xs.0[..count], $xs.1);)*
        $(let $zs = (&mut $zs.0[..count], $zs.1);)*
        #[allow(clippy::needless_range_loop)]
        for i in 0..count {
            #[allow(unused_assignments)]
            let mut $y = $ys.0[i];
            $(let mut $z = $zs.0[i];)*
            $(let $x = $xs.0[i];)*
            $body
            $ys.0[i] = $y;
            $($zs.0[i] = $z;)*
        }
        if !$ys.1.is_empty() {
            #[allow(unused_assignments)]
            let mut $y = $simd.partial_load_f32s($ys.1);
            $(let mut $z = $simd.partial_load_f32s($zs.1);)*
            $(let $x = $simd.partial_load_f32s($xs.1);)*
            $body
            $simd.partial_store_f32s($ys.1, $y);
            $($simd.partial_store_f32s($zs.1, $z);)*
        }
    }};
}
pub(crate) use each;

/// Term of a sum over two rows.
pub(crate) trait Term: Copy {
    /// Adds the term of `a` and `b` to `sum`.
    fn add<S: Simd>(self, simd: S, sum: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s;
}

/// The sum of `a`.
#[derive(Clone, Copy)]
pub(crate) struct Values;

impl Term for Values {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, sum: S::f32s, a: S::f32s, _: S::f32s) -> S::f32s {
        simd.add_f32s(sum, a)
    }
}

/// The dot product: the sum of `a · b`.
#[derive(Clone, Copy)]
pub(crate) struct Products;

impl Term for Products {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, sum: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s {
        fma(simd, a, b, sum)
    }
}

/// The sum of `a · (b - mean)`.
#[derive(Clone, Copy)]
pub(crate) struct CentredProducts {
    pub(crate) mean: f32,
}

impl Term for CentredProducts {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, sum: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s {
        fma(simd, a, simd.sub_f32s(b, simd.splat_f32s(self.mean)), sum)
    }
}

/// The sum of squared deviations `(b - mean)²`.
#[derive(Clone, Copy)]
pub(crate) struct SquaredDeviations {
    pub(crate) mean: f32,
}

impl Term for SquaredDeviations {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, sum: S::f32s, _: S::f32s, b: S::f32s) -> S::f32s {
        let off = simd.sub_f32s(b, simd.splat_f32s(self.mean));
        fma(simd, off, off, sum)
    }
}

/// Sum of `term` over rows `a` and `b`, in four accumulators so that additions do not wait for each
/// other. The tail of `a` is padded with 0, that of `b` with `fill`.
#[inline(always)]
pub(crate) fn sum<S: Simd, T: Term>(simd: S, term: T, [a, b]: [&[f32]; 2], fill: f32) -> f32 {
    let ((a, a_tail), (b, b_tail)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let mut lanes = [simd.splat_f32s(0.0); 4];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = term.add(simd, *lane, *a, *b);
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        lanes[0] = term.add(simd, lanes[0], *a, *b);
    }
    if !b_tail.is_empty() {
        let (a, b) = (simd.partial_load_f32s(a_tail), tail_or(simd, b_tail, fill));
        lanes[1] = term.add(simd, lanes[1], a, b);
    }
    let [a, b, c, d] = lanes;
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}
