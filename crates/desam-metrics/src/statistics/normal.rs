//! The normal distribution.

use std::f64::consts::{PI, SQRT_2};

/// Boundary between the series in the middle and the tail's continued fraction.
const TAIL: f64 = 2.5;

/// Cumulative distribution function of the standard normal distribution, accurate in both tails.
pub(super) fn below(z: f64) -> f64 {
    let x = z.abs() / SQRT_2;
    let tail = if x < TAIL { 0.5 * (1.0 - middle(x)) } else { 0.5 * outer(x) };
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// `erf`, by its series 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1)), whose terms are all
/// positive.
fn middle(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term > 1e-17 * sum {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// `erfc`, by its continued fraction 1/(x + ½/(x + 1/(x + 3/2/(x + …)))), from the inside out.
fn outer(x: f64) -> f64 {
    let fraction = (1..=80).rev().fold(x, |inner, n| x + 0.5 * f64::from(n) / inner);
    (-x * x).exp() / (PI.sqrt() * fraction)
}

/// Quantile function of the standard normal distribution, by bisection; 0 and 1 give ±40.
pub(super) fn quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    // 60 halvings of 80 are below the spacing of numbers near 1.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if below(middle) < share { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_scipys() {
        // scipy.stats.norm.cdf, SciPy 1.17.1.
        for (z, expected) in [
            (-8.2, 1.201_935_154_273_573_5e-16),
            (-3.5, 0.000_232_629_079_035_525_02),
            (-1.96, 0.024_997_895_148_220_435),
            (-0.3, 0.382_088_577_811_047_4),
            (0.0, 0.5),
            (0.7, 0.758_036_347_776_927),
            (2.5, 0.993_790_334_674_223_8),
            (5.0, 0.999_999_713_348_428_1),
        ] {
            assert!((below(z) / expected - 1.0).abs() < 1e-12, "{z}: {}", below(z));
        }
    }

    #[test]
    fn quantiles_are_scipys() {
        // scipy.stats.norm.ppf, SciPy 1.17.1.
        for (share, expected) in [
            (1e-9, -5.997_807_015_007_686_5),
            (0.025, -1.959_963_984_540_054_5),
            (0.3, -0.524_400_512_708_041),
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
        ] {
            assert!((quantile(share) - expected).abs() < 1e-12, "{share}: {}", quantile(share));
        }
        assert!(quantile(0.0) < -37.0 && quantile(1.0) > 8.0);
    }

    #[test]
    fn the_two_ways_meet() {
        let at = TAIL * SQRT_2;
        let step = below(-at + 1e-9) - below(-at - 1e-9);
        assert!(step > 0.0 && step < 1e-11, "{step}");
    }
}
