//! Mean and standard deviation of a plane, merged from parts of it (Chan, Golub and LeVeque).

use crate::ops::vector::{SquaredDeviations, Values, kernel, sum};

/// Moments of a plane, as a norm uses them: `(x - mean) · scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    pub(crate) mean: f32,
    /// Reciprocal standard deviation.
    pub(crate) scale: f32,
}

/// Moments of a part of a plane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartMoments {
    count: f64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    spread: f64,
}

/// Most numbers of a part: few enough for an accurate sum in single precision.
const MAX_PART: usize = 4096;

kernel! {
    /// Mean of `x` and sum of squared deviations from it.
    fn mean_and_spread(simd: S, x: &'a [f32]) -> (f32, f32) {
        let mean = sum(simd, Values, [x, x], 0.0) / x.len().max(1) as f32;
        (mean, sum(simd, SquaredDeviations { mean }, [x, x], mean))
    }
}

impl PartMoments {
    /// Moments of at most [`MAX_PART`] numbers.
    pub(crate) fn of(x: &[f32]) -> Self {
        let (mean, spread) = mean_and_spread(x);
        Self { count: x.len() as f64, mean: mean.into(), spread: spread.into() }
    }
}

impl Moments {
    /// Moments of a whole plane, `eps` under the root (biased variance).
    pub(crate) fn of(plane: &[f32], eps: f64) -> Self {
        Self::join(plane.chunks(MAX_PART).map(PartMoments::of), eps)
    }

    /// Moments of a plane from all its parts: in double precision, and in their order so that the bits
    /// repeat.
    pub(crate) fn join(parts: impl Iterator<Item = PartMoments> + Clone, eps: f64) -> Self {
        let count: f64 = parts.clone().map(|p| p.count).sum::<f64>().max(1.0);
        let mean = parts.clone().map(|p| p.count * p.mean).sum::<f64>() / count;
        let spread: f64 = parts.map(|p| p.spread + p.count * (p.mean - mean).powi(2)).sum();
        Self { mean: mean as f32, scale: (1.0 / (spread / count + eps).sqrt()) as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_to_the_whole_far_from_zero() {
        // Two-pass sums in double precision are the expectation.
        let x: Vec<f32> = (0..9001).map(|i| 1000.0 + ((i * 7919) % 1013) as f32 / 100.0).collect();
        let n = x.len() as f64;
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        let found = Moments::of(&x, 1e-5);
        assert!((f64::from(found.mean) - mean).abs() < 1e-4, "{found:?}");
        assert!((f64::from(found.scale) * (variance + 1e-5).sqrt() - 1.0).abs() < 1e-6);
    }
}
