//! A permutation test on paired differences.

use super::MeanOver;
use super::groups::weighted;
use crate::{Error, Result};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Limit on differences whose sign patterns are all enumerated: 2²⁰, a million.
const EXACT: usize = 20;

/// Sign-flip test, a paired permutation test: under the null hypothesis each case's difference is as
/// likely to have the other sign. The mean over groups is compared with its values under all sign
/// patterns or, beyond 20 non-zero differences, under random ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignFlip {
    /// Number of random sign patterns, where not all are enumerated; 100 to 10 000 000.
    pub draws: usize,
    /// Seed of the random sign patterns.
    pub seed: u64,
}

impl Default for SignFlip {
    fn default() -> Self {
        Self { draws: 10_000, seed: 0 }
    }
}

/// Result of the test, two-sided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FlipTest {
    /// The mean difference that was tested.
    pub mean_difference: f64,
    /// The p-value: the fraction of sign patterns with a mean at least as far from 0; for random ones
    /// (1 + as far) / (1 + draws), which is never 0.
    pub p_value: f64,
    /// Whether all sign patterns were enumerated.
    pub exact: bool,
}

impl SignFlip {
    /// Tests the mean over groups of paired differences. The order of the values does not matter.
    ///
    /// # Errors
    /// When a difference is not finite, there is none, or the number of draws is out of range.
    pub fn test(&self, groups: &[&[f64]], over: MeanOver) -> Result<FlipTest> {
        let refuse =
            |what, found: String, expected| Err(Error::Statistics { what, found, expected });
        if !(100..=10_000_000).contains(&self.draws) {
            return refuse("draws of signs", self.draws.to_string(), "100 to 10000000");
        }
        let groups = weighted(groups, over)?;
        let weighed =
            groups.iter().flat_map(|g| g.values.iter().map(|v| g.weight * v)).collect::<Vec<_>>();
        if let Some(found) = weighed.iter().find(|v| !v.is_finite()) {
            return refuse("difference of a pair", found.to_string(), "a finite number");
        }
        if weighed.is_empty() {
            return refuse("differences of pairs", "none".into(), "at least one");
        }
        let mean_difference: f64 = weighed.iter().sum();
        let moving: Vec<f64> = weighed.into_iter().filter(|v| *v != 0.0).collect();
        // The same values summed in another order may differ in the last digits.
        let slack = 1e-12 * moving.iter().map(|v| v.abs()).sum::<f64>();
        let as_far = |mean: f64| mean.abs() >= mean_difference.abs() - slack;
        let exact = moving.len() <= EXACT;
        let p_value =
            if exact { all_signs(&moving, as_far) } else { self.random_signs(&moving, as_far) };
        Ok(FlipTest { mean_difference, p_value, exact })
    }

    fn random_signs(&self, moving: &[f64], as_far: impl Fn(f64) -> bool) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut far = 0_usize;
        for _ in 0..self.draws {
            let mut sum = 0.0;
            for some in moving.chunks(64) {
                sum += signed(some, rng.next_u64());
            }
            far += usize::from(as_far(sum));
        }
        (1 + far) as f64 / (1 + self.draws) as f64
    }
}

/// The sum with the sign of each value flipped whose bit is set.
fn signed(values: &[f64], bits: u64) -> f64 {
    values.iter().enumerate().map(|(n, v)| if bits >> n & 1 == 1 { -v } else { *v }).sum()
}

/// The fraction of all sign patterns that are as far. Meet in the middle: the sums of both halves are
/// computed once.
fn all_signs(values: &[f64], as_far: impl Fn(f64) -> bool) -> f64 {
    let (low, high) = values.split_at(values.len() / 2);
    let sums = |half: &[f64]| -> Vec<f64> {
        (0..1_u64 << half.len()).map(|bits| signed(half, bits)).collect()
    };
    let (low, high) = (sums(low), sums(high));
    let far: usize = low.iter().map(|a| high.iter().filter(|b| as_far(a + **b)).count()).sum();
    far as f64 / (low.len() * high.len()) as f64
}
