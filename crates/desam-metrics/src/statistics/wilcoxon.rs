//! Wilcoxon's signed-rank test.

use super::normal;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Limit on differences for the exact distribution.
const EXACT: usize = 25;

/// Result of the test, two-sided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WilcoxonTest {
    /// Sum of the ranks of differences above 0.
    pub rank_sum_above: f64,
    /// Sum of the ranks of differences below 0.
    pub rank_sum_below: f64,
    /// Number of non-zero differences.
    pub differences: usize,
    /// Number of zero differences, which the test drops.
    pub zeros: usize,
    /// The p-value; 1 where every difference is 0.
    pub p_value: f64,
    /// Whether the p-value is exact, or from the normal approximation.
    pub exact: bool,
}

/// Wilcoxon's signed-rank test of paired differences, two-sided. Zero differences are dropped; ties get
/// their mean rank. Up to 25 differences the distribution is exact, also with ties; beyond, it is the
/// normal approximation with the variance corrected for ties and without continuity correction, as in
/// `scipy.stats.wilcoxon(method="asymptotic")`.
///
/// # Errors
/// When a difference is not finite.
pub fn wilcoxon(differences: &[f64]) -> Result<WilcoxonTest> {
    if let Some(found) = differences.iter().find(|d| !d.is_finite()) {
        let (what, expected) = ("difference of a pair", "a finite number");
        return Err(Error::Statistics { what, found: found.to_string(), expected });
    }
    let mut sorted: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    sorted.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let zeros = differences.len() - sorted.len();
    // Doubled ranks are integers: mean ranks of ties may be half-integers.
    let mut doubled = Vec::with_capacity(sorted.len());
    let mut ties = 0.0;
    for equal in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let (before, many) = (doubled.len(), equal.len());
        doubled.extend(std::iter::repeat_n(2 * before + many + 1, many));
        ties += (many as f64).powi(3) - many as f64;
    }
    let above: usize = sorted.iter().zip(&doubled).filter(|(d, _)| **d > 0.0).map(|(_, r)| r).sum();
    let total: usize = doubled.iter().sum();
    let exact = sorted.len() <= EXACT;
    let p_value = if exact {
        counted(&doubled, above.min(total - above))
    } else {
        approximated(sorted.len() as f64, above as f64 / 2.0, ties)
    };
    Ok(WilcoxonTest {
        rank_sum_above: above as f64 / 2.0,
        rank_sum_below: (total - above) as f64 / 2.0,
        differences: sorted.len(),
        zeros,
        p_value,
        exact,
    })
}

/// Exact p-value: twice the fraction of sign patterns whose positive ranks sum to at most `smaller`.
fn counted(doubled: &[usize], smaller: usize) -> f64 {
    let total: usize = doubled.iter().sum();
    // ways[s]: number of sign patterns with the sum s, over the ranks so far (subset-sum counting).
    let mut ways = vec![0_u64; total + 1];
    if let Some(first) = ways.first_mut() {
        *first = 1;
    }
    for &rank in doubled {
        for sum in (rank..=total).rev() {
            let without = ways.get(sum - rank).copied().unwrap_or(0);
            if let Some(cell) = ways.get_mut(sum) {
                *cell += without;
            }
        }
    }
    let few: u64 = ways.iter().take(smaller + 1).sum();
    let all: u64 = ways.iter().sum();
    (2.0 * few as f64 / all as f64).min(1.0)
}

fn approximated(n: f64, above: f64, ties: f64) -> f64 {
    let mean = n * (n + 1.0) / 4.0;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    (2.0 * normal::below(-(above - mean).abs() / variance.sqrt())).min(1.0)
}
