//! Summary of one metric's scores over many cases.

use super::{Empty, Score};
use serde::{Deserialize, Serialize};

/// Summary of one metric over many cases. Every case counts: in the mean, or as left out of it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Summary {
    /// Mean over all cases but those left out; `None` without any.
    pub mean: Option<f64>,
    /// Their median; the mean of the two middle ones of an even number.
    pub median: Option<f64>,
    /// Number of cases in the mean.
    pub cases: usize,
    /// Number of cases that the policy on empty masks left out of the mean.
    pub left_out: usize,
    /// Number of cases, in the mean or not, with both masks empty.
    pub both_empty: usize,
    /// Number of cases, in the mean or not, with an empty prediction (missed).
    pub predictions_empty: usize,
    /// Number of cases, in the mean or not, with an empty truth (false positive).
    pub truths_empty: usize,
}

impl Summary {
    /// Summarises one metric's scores, one a case. The bits do not depend on their order.
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
            // Equal values are not averaged, so that two infinities have a median.
            summary.median = Some(if low == high { low } else { (low + high) / 2.0 });
        }
        summary
    }
}
