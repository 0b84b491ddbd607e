//! Summaries of a metric over many cases, with bootstrap intervals.

use super::by_metric::number;
use desam_metrics::metric::{CaseMetric, Score, Summary};
use desam_metrics::statistics::Interval;
use serde::{Deserialize, Serialize};

/// Summary of a metric over the cases of a site. Every case is either in the mean or counted as left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSummary {
    /// Mean over all cases but those left out; `None` where no case remains.
    #[serde(with = "number")]
    pub mean: Option<f64>,
    /// Bootstrap interval of the mean over cases of this site, where intervals were requested and all
    /// values are finite.
    #[serde(default)]
    pub interval: Option<Interval>,
    /// Median of the same cases.
    #[serde(with = "number")]
    pub median: Option<f64>,
    /// The worst case's value; for a volume error the one furthest from 0.
    #[serde(with = "number")]
    pub worst: Option<f64>,
    /// Cases in the mean.
    pub cases: usize,
    /// Cases that the policy on empty masks left out of the mean.
    pub left_out: usize,
    /// Missed cases, in the mean or not: an empty prediction of a non-empty truth.
    pub missed: usize,
    /// Invented cases, in the mean or not: a non-empty prediction of an empty truth.
    pub invented: usize,
    /// Cases, in the mean or not, with both masks empty.
    pub both_empty: usize,
}

/// Summary of a metric over the target sites, which training never saw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverallSummary {
    /// Mean of the sites' means.
    #[serde(with = "number")]
    pub mean_of_sites: Option<f64>,
    /// Its bootstrap interval, cases drawn within their sites.
    #[serde(default)]
    pub sites_interval: Option<Interval>,
    /// All cases of these sites pooled; its interval keeps the number of cases of each site.
    pub cases: MetricSummary,
}

impl MetricSummary {
    pub(super) fn of(metric: CaseMetric, scores: &[Score]) -> Self {
        let summary = Summary::of(scores);
        let values = scores.iter().filter_map(Score::counted);
        Self {
            mean: summary.mean,
            interval: None,
            median: summary.median,
            worst: values.reduce(|a, b| metric.worse(a, b)),
            cases: summary.cases,
            left_out: summary.left_out,
            missed: summary.predictions_empty,
            invented: summary.truths_empty,
            both_empty: summary.both_empty,
        }
    }
}
