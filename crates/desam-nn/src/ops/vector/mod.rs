//! SIMD vectors of f32 for the fast paths, dispatched at run time: AVX-512, AVX2, NEON, or scalar.
//!
//! A kernel is written once for any width. Work is split over threads by rows and by chunks of a fixed
//! length, so the bits depend on the machine's vector width but never on its number of threads.

mod math;
mod memory;
mod rows;

pub(crate) use math::{exp_up_to_max, fma, normal};
pub(crate) use memory::{Pieces, build, build_pair, build_pieces, f32s, ordered_sum, parts};
pub(crate) use rows::{CentredProducts, Products, SquaredDeviations, Values, each, sum};

use pulp::{Arch, Simd, WithSimd};
use std::sync::OnceLock;

/// Numbers of a chunk, where there are no rows: 32 KiB, an L1 cache.
pub(crate) const CHUNK: usize = 1 << 13;

/// Runs a kernel with the widest vectors of this machine.
pub(crate) fn dispatch<K: WithSimd>(kernel: K) -> K::Output {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    ARCH.get_or_init(Arch::new).dispatch(kernel)
}

/// Defines a SIMD kernel: a function whose body is compiled for each vector width, `S` being the
/// instruction set and `simd` its operations. References in the arguments have the lifetime `'a`.
macro_rules! kernel {
    (
        $(#[$attribute:meta])*
        $vis:vis fn $name:ident($simd:ident: $S:ident, $($arg:ident: $ty:ty),* $(,)?) -> $ret:ty
        $body:block
    ) => {
        $(#[$attribute])*
        #[allow(clippy::needless_lifetimes)]
        $vis fn $name<'a>($($arg: $ty),*) -> $ret {
            struct Kernel<'a> {
                $($arg: $ty,)*
                lifetime: std::marker::PhantomData<&'a ()>,
            }
            impl<'a> pulp::WithSimd for Kernel<'a> {
                type Output = $ret;
                #[inline(always)]
                fn with_simd<$S: pulp::Simd>(self, $simd: $S) -> $ret {
                    let Self { $($arg,)* lifetime: _ } = self;
                    $body
                }
            }
            $crate::ops::vector::dispatch(Kernel { $($arg,)* lifetime: std::marker::PhantomData })
        }
    };
}
pub(crate) use kernel;

kernel! {
    /// Lanes: numbers in a vector of this machine.
    pub(crate) fn lanes(_simd: S,) -> usize {
        S::F32_LANES
    }
}

/// An elementwise function of one number.
pub(crate) trait Map: Copy + Send + Sync + 'static {
    /// Its values at `x`.
    fn at<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s;
}

/// An elementwise function of two numbers.
pub(crate) trait Map2: Copy + Send + Sync + 'static {
    /// Its values at `a` and `b`.
    fn at<S: Simd>(self, simd: S, a: S::f32s, b: S::f32s) -> S::f32s;
}

/// `y ← f(x)`, both of one length.
pub(crate) fn map<F: Map>(f: F, x: &[f32], y: &mut [f32]) {
    struct Kernel<'a, F>(F, &'a [f32], &'a mut [f32]);
    impl<F: Map> WithSimd for Kernel<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(f, xs, ys) = self;
            each!(simd: S; x in xs; y in ys => { y = f.at(simd, x); });
        }
    }
    dispatch(Kernel(f, x, y));
}

/// `y ← f(a, b)`, all of one length.
pub(crate) fn map2<F: Map2>(f: F, [a, b]: [&[f32]; 2], y: &mut [f32]) {
    struct Kernel<'a, F>(F, [&'a [f32]; 2], &'a mut [f32]);
    impl<F: Map2> WithSimd for Kernel<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(f, [all_a, all_b], ys) = self;
            each!(simd: S; a in all_a, b in all_b; y in ys => { y = f.at(simd, a, b); });
        }
    }
    dispatch(Kernel(f, [a, b], y));
}

/// Loads `tail`, with `fill` in the lanes behind its end.
#[inline(always)]
pub(crate) fn tail_or<S: Simd>(simd: S, tail: &[f32], fill: f32) -> S::f32s {
    let mask = simd.mask_between_m32s(0, tail.len() as u32).mask();
    simd.select_f32s(mask, simd.partial_load_f32s(tail), simd.splat_f32s(fill))
}
