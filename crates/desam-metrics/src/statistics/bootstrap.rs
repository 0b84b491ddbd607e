//! Bootstrap confidence intervals of means.

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

/// Configuration of a bootstrap over cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapConfig {
    /// Number of resamples, 100 to 1 000 000.
    pub resamples: usize,
    /// Seed of the resampling.
    pub seed: u64,
    /// Confidence level, 0.5 to 0.9999.
    pub level: f64,
    /// Method of the interval.
    pub method: IntervalMethod,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { resamples: 10_000, seed: 0, level: 0.95, method: IntervalMethod::default() }
    }
}

/// Number of cases of a group below which an interval is flagged as unreliable: resampled means of few
/// values take few values themselves, and the coverage of a 0.95 interval is far lower.
pub const FEW_CASES: usize = 5;

/// Confidence interval of a mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Number of cases of the smallest group, where it is below [`FEW_CASES`]: such an interval is too
    /// narrow to be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub few_cases: Option<usize>,
}

impl Interval {
    /// Whether it contains `value`, bounds included.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

impl BootstrapConfig {
    /// Checks that all fields are in range.
    ///
    /// # Errors
    /// Naming the field that is not.
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

    /// The level in per cent.
    pub fn level_percent(&self) -> f64 {
        (1e6 * self.level).round() / 1e4
    }

    /// Confidence interval of the mean over groups of cases (the values of each site; one group for the
    /// mean of a site). Each group is resampled with replacement to its own size, from a ChaCha stream
    /// that belongs to its index, so both kinds of mean are stratified. The order of the values does not
    /// matter.
    ///
    /// With few cases all bootstrap intervals are too short: with 12 normal values, the coverage at level
    /// 0.95 is 91 %.
    ///
    /// `None` where there is no group, a group has fewer than two cases, whose spread is unknown,
    /// or a value is infinite.
    ///
    /// # Errors
    /// When the configuration is not valid, or a value is NaN.
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

    /// Means of the resampled cases, ascending.
    fn drawn(&self, groups: &[Group]) -> Vec<f64> {
        let mut means = vec![0.0; self.resamples];
        for (stream, group) in groups.iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(stream as u64);
            // 32-bit indices: no study has more cases.
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

/// BCa-corrected percentiles for `tail` and `1 - tail`; `None` where nothing varies or the correction
/// leaves the unit interval.
fn corrected(groups: &[Group], means: &[f64], tail: f64) -> Option<[f64; 2]> {
    // Influence of each case on the mean, which is its jackknife influence.
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
    // Sums of the same values in another order differ in the last digits; they count as ties.
    let mean: f64 = groups.iter().map(Group::share).sum();
    let slack = 1e-12 * mean.abs().max(squares.sqrt());
    let below = means.partition_point(|m| *m < mean - slack);
    let upto = means.partition_point(|m| *m <= mean + slack);
    let n = means.len() as f64;
    let share = ((below + upto) as f64 / (2.0 * n)).clamp(0.5 / n, 1.0 - 0.5 / n);
    let bias = normal::quantile(share);
    let place = |p: f64| {
        let z = bias + normal::quantile(p);
        let denominator = 1.0 - acceleration * z;
        (denominator > 0.0).then(|| normal::below(bias + z / denominator))
    };
    Some([place(tail)?, place(1.0 - tail)?])
}

/// Quantile with linear interpolation, NumPy's default.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share.clamp(0.0, 1.0) * (sorted.len().saturating_sub(1)) as f64;
    let (first, part) = (place as usize, place.fract());
    let low = *sorted.get(first)?;
    let high = sorted.get(first + 1).copied().unwrap_or(low);
    Some(low + (high - low) * part)
}
