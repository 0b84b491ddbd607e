//! `exp` and the normal distribution on vectors of f32.
//!
//! Both are accurate to a few units in the last place (the tests say how many) and cost about as
//! many operations as their polynomials have terms. The coefficients are minimax fits made for this
//! file in 40 digits (Lawson's iteration on Chebyshev points).

use pulp::Simd;

/// Below this `exp(x)` is less than the smallest normal f32, and counts as 0.
const EXP_MIN: f32 = -87.336_54;
/// ln 2 in two parts; the first has few enough digits that its multiples up to 128 are exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Added to a number below 2²² it leaves the nearest integer in the lowest bits of the mantissa.
const ROUND: f32 = 12_582_912.0;
/// `(exp(r) - 1 - r) / r²` for |r| ≤ ln 2 / 2, relative error of `exp` 3.1e-9.
const EXP: [f32; 5] = [0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_717, 0.001_381_459_9];

/// `Φ(-u) / exp(-u²/2)` in powers of `1 / (1 + 0.3 u)` from the first on, absolute error of `Φ`
/// 6.1e-9.
const TAIL_AT: f32 = 0.3;
const TAIL: [f32; 8] = [
    0.119_647_9,
    0.120_491_244,
    0.101_384_34,
    0.124_321_43,
    -0.046_860_37,
    0.200_203_61,
    -0.154_325_38,
    0.035_137_23,
];

/// `a · b + c`.
#[inline(always)]
pub(crate) fn fma<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(a, b, c)
}

/// `Σ terms[i] · xⁱ`.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, terms: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(terms[N - 1]);
    for term in terms.iter().rev().skip(1) {
        sum = fma(simd, sum, x, simd.splat_f32s(*term));
    }
    sum
}

/// `exp(x)` where the result is a normal number; undefined elsewhere. Range reduction by ln 2.
#[inline(always)]
fn exp_in_range<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let shifted = fma(simd, x, simd.splat_f32s(std::f32::consts::LOG2_E), simd.splat_f32s(ROUND));
    let power = simd.sub_f32s(shifted, simd.splat_f32s(ROUND));
    let r = fma(simd, power, simd.splat_f32s(-LN_2[0]), x);
    let r = fma(simd, power, simd.splat_f32s(-LN_2[1]), r);
    let rest = fma(simd, polynomial(simd, r, EXP), simd.mul_f32s(r, r), r);
    let mantissa = simd.add_f32s(rest, simd.splat_f32s(1.0));
    // The lowest bits of `shifted` are the power of two: shifted up they add to the exponent.
    let bits = simd.transmute_u32s_f32s(shifted);
    let exponent = simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(mantissa), exponent))
}

/// `exp(x)` for `x` up to 88, as in a softmax after the maximum was subtracted: 0 where it would be
/// subnormal, NaN for NaN.
#[inline(always)]
pub(crate) fn exp_up_to_max<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let below = simd.less_than_f32s(x, simd.splat_f32s(EXP_MIN));
    simd.select_f32s(below, simd.splat_f32s(0.0), exp_in_range(simd, x))
}

/// Values of the standard normal distribution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normal<V> {
    /// Cumulative distribution `Φ(x) = (1 + erf(x / √2)) / 2`.
    pub(crate) cdf: V,
    /// Density without its factor `1 / √(2π)`: `exp(-x² / 2)`.
    pub(crate) density: V,
}

/// The standard normal distribution at `x`.
#[inline(always)]
pub(crate) fn normal<S: Simd>(simd: S, x: S::f32s) -> Normal<S::f32s> {
    let one = simd.splat_f32s(1.0);
    let half_square = simd.mul_f32s(simd.mul_f32s(x, simd.splat_f32s(-0.5)), x);
    let density = exp_up_to_max(simd, half_square);
    let size = simd.abs_f32s(x);
    let t = simd.div_f32s(one, fma(simd, size, simd.splat_f32s(TAIL_AT), one));
    let tail = simd.mul_f32s(simd.mul_f32s(polynomial(simd, t, TAIL), t), density);
    let positive = simd.greater_than_f32s(x, simd.splat_f32s(0.0));
    Normal { cdf: simd.select_f32s(positive, simd.sub_f32s(one, tail), tail), density }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::vector::{Map, map};

    #[derive(Clone, Copy)]
    struct Exp;
    impl Map for Exp {
        #[inline(always)]
        fn at<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
            exp_up_to_max(simd, x)
        }
    }

    #[derive(Clone, Copy)]
    struct Cdf;
    impl Map for Cdf {
        #[inline(always)]
        fn at<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
            normal(simd, x).cdf
        }
    }

    fn all<F: Map>(f: F, x: &[f32]) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len()];
        map(f, x, &mut y);
        y
    }

    /// Distance from the f64 `expected` in units of the f32's last place.
    fn ulps(found: f32, expected: f64) -> f64 {
        let unit = f64::from(f32::EPSILON) * 2f64.powi(expected.abs().log2().floor() as i32);
        (f64::from(found) - expected).abs() / unit
    }

    #[test]
    fn exp_is_within_about_a_unit_of_f64s() {
        let x: Vec<f32> = (0..2_000_001).map(|i| -87.336 + i as f32 * 8.8e-5).collect();
        let mut worst = 0f64;
        for (x, y) in x.iter().zip(all(Exp, &x)).filter(|(x, _)| **x <= 88.0) {
            worst = worst.max(ulps(y, f64::from(*x).exp()));
        }
        assert!(worst < 1.1, "{worst}");
    }

    #[test]
    fn exp_at_the_edges() {
        let x = [f32::NEG_INFINITY, -200.0, -87.4, 0.0, -0.0];
        assert_eq!(all(Exp, &x), [0.0, 0.0, 0.0, 1.0, 1.0]);
        assert!(all(Exp, &[f32::NAN])[0].is_nan());
        assert!(all(Exp, &[-87.336_54])[0] > 1.17e-38);
    }

    /// `Φ` in f64 by the Maclaurin series of erf near 0, by its continued fraction elsewhere.
    fn phi(x: f64) -> f64 {
        let (z, scale) = (x.abs() / 2f64.sqrt(), 1.0 / std::f64::consts::PI.sqrt());
        let tail = if z < 2.5 {
            let (mut term, mut sum) = (z, z);
            for n in 1..80 {
                term *= -z * z / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            0.5 - scale * sum
        } else {
            let fraction = (1..120).rev().fold(z, |f, n| z + f64::from(n) / 2.0 / f);
            0.5 * scale * (-z * z).exp() / fraction
        };
        if x > 0.0 { 1.0 - tail } else { tail }
    }

    #[test]
    fn the_normal_distribution_is_that_in_f64() {
        // Tables of the normal distribution: Φ(1) and Φ(-3), to ten digits.
        assert!((phi(1.0) - 0.841_344_746_1).abs() < 1e-10);
        assert!((phi(-3.0) - 0.001_349_898_0).abs() < 1e-10);
        let x: Vec<f32> = (0..400_001).map(|i| -13.0 + i as f32 * 6.5e-5).collect();
        let (mut absolute, mut relative) = (0f64, 0f64);
        for (x, y) in x.iter().zip(all(Cdf, &x)) {
            let expected = phi(f64::from(*x));
            let error = (f64::from(y) - expected).abs();
            absolute = absolute.max(error);
            relative = relative.max(error / expected);
        }
        assert!(absolute < 1.8e-7 && relative < 1e-5, "{absolute} {relative}");
        let edges = all(Cdf, &[f32::NEG_INFINITY, f32::INFINITY, 0.0]);
        assert_eq!(edges[..2], [0.0, 1.0]);
        assert!((edges[2] - 0.5).abs() < 1e-7 && all(Cdf, &[f32::NAN])[0].is_nan());
    }
}
