//! Intervals around means, by drawing cases again.

use super::groups::{Group, weighted};
use super::{MeanOver, normal};
use crate::{Error, Result};
use desam_core::named;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

named! {
    /// Method of a bootstrap confidence interval.
    #[derive(Default)]
    pub enum IntervalMethod: "interval method" {
        /// The percentile method: the percentiles of the resampled means that the level names.
        Percentile = "percentile",
        /// Bias-corrected and accelerated percentiles (Efron's BCa, Efron and Tibshirani 1993,
        /// chapter 14). Scores near their ceiling are biased and skewed.
        #[default]
        Bca = "bca",
    }
}

/// A bootstrap over cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapConfig {
    /// How often the cases are drawn, 100 to 1 000 000.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Share of such intervals that is to hold the true mean, 0.5 to 0.9999.
    pub level: f64,
    /// How the ends are found.
    pub method: IntervalMethod,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { resamples: 10_000, seed: 0, level: 0.95, method: IntervalMethod::default() }
    }
}

/// Cases of a group below which an interval says that it rests on few: with fewer values, the drawn
/// means take few values themselves, and an interval at level 0.95 holds far less.
pub const FEW_CASES: usize = 5;

/// Between which two values a mean would lie with other cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Cases of the smallest group that it rests on, where they are fewer than [`FEW_CASES`]: such an
    /// interval is too narrow to be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub few_cases: Option<usize>,
}

impl Interval {
    /// Whether `value` is in it, its ends included.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

impl BootstrapConfig {
    /// Whether the fields make sense.
    ///
    /// # Errors
    /// Naming the one that does not.
    pub fn validate(&self) -> Result<()> {
        let refuse =
            |what, found: String, expected| Err(Error::Statistics { what, found, expected });
        if !(100..=1_000_000).contains(&self.resamples) {
            return refuse("bootstrap resamples", self.resamples.to_string(), "100 to 1000000");
        }
        if !(0.5..=0.9999).contains(&self.level) {
            return refuse("level of an interval", self.level.to_string(), "0.5 to 0.9999");
        }
        Ok(())
    }

    /// The level in per cent, as it is said.
    pub fn level_percent(&self) -> f64 {
        (1e6 * self.level).round() / 1e4
    }

    /// An interval around the mean over groups of cases (a site's values each; one group for the
    /// mean of a site). As many cases as a group has are drawn from it, with replacement, from a
    /// ChaCha stream that belongs to its place among the groups; so the mean of the groups and the
    /// mean of all cases are both stratified. Values may come in any order.
    ///
    /// With few cases intervals of any bootstrap are too short: of 12 normal values, 91 % of those
    /// at level 0.95 hold the mean.
    ///
    /// `None` where there is no group, a group has fewer than two cases, whose spread is unknown,
    /// or a value is infinite.
    ///
    /// # Errors
    /// When the configuration makes no sense, or a value is no number.
    pub fn interval(&self, groups: &[&[f64]], over: MeanOver) -> Result<Option<Interval>> {
        self.validate()?;
        let few = groups.is_empty() || groups.iter().any(|g| g.len() < 2);
        let groups = weighted(groups, over)?;
        if few || groups.iter().flat_map(|g| &g.values).any(|v| v.is_infinite()) {
            return Ok(None);
        }
        let means = self.drawn(&groups);
        let tail = (1.0 - self.level) / 2.0;
        let corrected = match self.method {
            IntervalMethod::Percentile => None,
            IntervalMethod::Bca => corrected(&groups, &means, tail),
        };
        let [low, high] = corrected.unwrap_or([tail, 1.0 - tail]);
        let (low, high) = (quantile(&means, low), quantile(&means, high));
        let fewest = groups.iter().map(|g| g.values.len()).min();
        let few_cases = fewest.filter(|n| *n < FEW_CASES);
        Ok(low.zip(high).map(|(low, high)| Interval { low, high, few_cases }))
    }

    /// Means of drawn cases, rising.
    fn drawn(&self, groups: &[Group]) -> Vec<f64> {
        let mut means = vec![0.0; self.resamples];
        for (stream, group) in groups.iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(stream as u64);
            // No study has more cases than 32 bits count.
            let size = u32::try_from(group.values.len()).unwrap_or(u32::MAX);
            for mean in &mut means {
                let draw = |_| group.values.get(rng.random_range(0..size) as usize);
                *mean += group.weight * (0..size).filter_map(draw).sum::<f64>();
            }
        }
        means.sort_unstable_by(f64::total_cmp);
        means
    }
}

/// BCa's percentiles for those of `tail` and `1 - tail`; `None` where nothing varies or the
/// correction runs out of the unit interval.
fn corrected(groups: &[Group], means: &[f64], tail: f64) -> Option<[f64; 2]> {
    // The influence of each case on the mean; of a mean the jackknife's.
    let influence = groups.iter().flat_map(|g| {
        let mean = g.mean();
        g.values.iter().map(move |v| g.weight * (v - mean))
    });
    let (mut squares, mut cubes) = (0.0, 0.0);
    for l in influence {
        squares += l * l;
        cubes += l * l * l;
    }
    if squares <= 0.0 {
        return None;
    }
    let acceleration = cubes / (6.0 * squares.powf(1.5));
    // Sums of the same values in other orders differ in the last digits; they count as one.
    let mean: f64 = groups.iter().map(Group::share).sum();
    let slack = 1e-12 * mean.abs().max(squares.sqrt());
    let below = means.partition_point(|m| *m < mean - slack);
    let upto = means.partition_point(|m| *m <= mean + slack);
    let n = means.len() as f64;
    let share = ((below + upto) as f64 / (2.0 * n)).clamp(0.5 / n, 1.0 - 0.5 / n);
    let bias = normal::quantile(share);
    let place = |p: f64| {
        let z = bias + normal::quantile(p);
        let stretch = 1.0 - acceleration * z;
        (stretch > 0.0).then(|| normal::below(bias + z / stretch))
    };
    Some([place(tail)?, place(1.0 - tail)?])
}

/// Linear between neighbours, as NumPy's default.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share.clamp(0.0, 1.0) * (sorted.len().saturating_sub(1)) as f64;
    let (first, part) = (place as usize, place.fract());
    let low = *sorted.get(first)?;
    let high = sorted.get(first + 1).copied().unwrap_or(low);
    Some(low + (high - low) * part)
}
