//! Scores of many cases taken together.

use super::{Empty, Score};
use serde::{Deserialize, Serialize};

/// One metric over many cases. Every case is in it: in the mean, or counted as left out.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Mean over all cases but those left out; `None` where that is no case.
    pub mean: Option<f64>,
    /// Their median, between the two middle ones of an even number.
    pub median: Option<f64>,
    /// Cases in the mean.
    pub cases: usize,
    /// Cases that the policy on empty masks left out of the mean.
    pub left_out: usize,
    /// Cases, in the mean or not, with nothing to find and nothing found.
    pub both_empty: usize,
    /// Cases, in the mean or not, that were missed.
    pub predictions_empty: usize,
    /// Cases, in the mean or not, that were invented.
    pub truths_empty: usize,
}

impl Summary {
    /// Of one metric's scores, a case each. The same bits in whichever order they come.
    pub fn of<'a>(scores: impl IntoIterator<Item = &'a Score>) -> Self {
        let mut summary = Self::default();
        let mut values = Vec::new();
        for score in scores {
            match score.empty() {
                Some(Empty::Both) => summary.both_empty += 1,
                Some(Empty::Prediction) => summary.predictions_empty += 1,
                Some(Empty::Truth) => summary.truths_empty += 1,
                None => {}
            }
            match score.counted() {
                Some(value) => values.push(value),
                None => summary.left_out += 1,
            }
        }
        values.sort_unstable_by(f64::total_cmp);
        summary.cases = values.len();
        if let [Some(low), Some(high)] =
            [values.len().wrapping_sub(1) / 2, values.len() / 2].map(|i| values.get(i).copied())
        {
            summary.mean = Some(values.iter().sum::<f64>() / values.len() as f64);
            // Of equals no sum is taken: two infinite ones have a median as well.
            summary.median = Some(if low == high { low } else { (low + high) / 2.0 });
        }
        summary
    }
}
