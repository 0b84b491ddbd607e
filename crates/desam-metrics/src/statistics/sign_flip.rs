//! A permutation test on paired differences.

use super::MeanOver;
use super::groups::weighted;
use crate::{Error, Result};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Most differences whose signs are all gone through: a million.
const EXACT: usize = 20;

/// A sign-flip test: were the two runs alike, each case's difference could as well have the other
/// sign. The mean over groups is compared with its values under all signs or, beyond 20
/// differences that are not 0, under drawn ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignFlip {
    /// How often signs are drawn, where not all are gone through; 100 to 10 000 000.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for SignFlip {
    fn default() -> Self {
        Self { draws: 10_000, seed: 0 }
    }
}

/// What the test found, two-sided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlipTest {
    /// The mean difference that was tested.
    pub mean_difference: f64,
    /// How often chance alone gives a mean as far from 0: counted over all signs, or (1 + as far) /
    /// (1 + draws), which is never 0.
    pub p_value: f64,
    /// Whether all signs were gone through.
    pub exact: bool,
}

impl SignFlip {
    /// Tests the mean over groups of paired differences. Values may come in any order.
    ///
    /// # Errors
    /// When a difference is not finite, there is none, or the draws make no sense.
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
        // The same numbers added in another order may differ in the last digits.
        let slack = 1e-12 * moving.iter().map(|v| v.abs()).sum::<f64>();
        let as_far = |mean: f64| mean.abs() >= mean_difference.abs() - slack;
        let exact = moving.len() <= EXACT;
        let p_value = match exact {
            true => all_signs(&moving, as_far),
            false => self.drawn_signs(&moving, as_far),
        };
        Ok(FlipTest { mean_difference, p_value, exact })
    }

    fn drawn_signs(&self, moving: &[f64], as_far: impl Fn(f64) -> bool) -> f64 {
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

/// The sum with the sign of each turned whose bit is set.
fn signed(values: &[f64], bits: u64) -> f64 {
    values.iter().enumerate().map(|(n, v)| if bits >> n & 1 == 1 { -v } else { *v }).sum()
}

/// The share of all signs that are as far. Sums of both halves are made once.
fn all_signs(values: &[f64], as_far: impl Fn(f64) -> bool) -> f64 {
    let (low, high) = values.split_at(values.len() / 2);
    let sums = |half: &[f64]| -> Vec<f64> {
        (0..1_u64 << half.len()).map(|bits| signed(half, bits)).collect()
    };
    let (low, high) = (sums(low), sums(high));
    let far: usize = low.iter().map(|a| high.iter().filter(|b| as_far(a + **b)).count()).sum();
    far as f64 / (low.len() * high.len()) as f64
}
