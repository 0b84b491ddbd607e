//! Summaries of a metric over many cases, with bootstrap intervals.

use super::by_metric::number;
use super::{CaseScore, Evaluation, Role};
use crate::Result;
use desam_metrics::metric::{CaseMetric, Score, Summary};
use desam_metrics::statistics::{BootstrapConfig, Interval, MeanOver};
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
    fn of(metric: CaseMetric, scores: &[Score]) -> Self {
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

/// Scores of some cases by a metric; cases without that metric are skipped.
fn scores<'a>(metric: CaseMetric, cases: impl IntoIterator<Item = &'a CaseScore>) -> Vec<Score> {
    cases.into_iter().filter_map(|case| case.score(metric)).collect()
}

impl Evaluation {
    /// The cases of a site.
    pub fn site_cases(&self, site: &str) -> impl Iterator<Item = &CaseScore> {
        self.cases.iter().filter(move |c| c.site == site)
    }

    /// Computes the summaries of all metrics, per site and overall, from the cases.
    pub(super) fn summarise_metrics(&mut self) {
        let of_site = |site: &str| {
            let one =
                |&m: &CaseMetric| (m, MetricSummary::of(m, &scores(m, self.site_cases(site))));
            self.metrics.iter().map(one).collect()
        };
        let summaries: Vec<_> = self.sites.iter().map(|s| of_site(&s.site)).collect();
        for (site, metrics) in self.sites.iter_mut().zip(summaries) {
            site.metrics = metrics;
        }
        let targets = || self.cases.iter().filter(|c| c.role == Role::Target);
        if targets().next().is_none() {
            return;
        }
        let over = |&metric: &CaseMetric| {
            let means = self.targets().map(|s| s.metrics.get(metric).and_then(|m| m.mean));
            // One site without a mean leaves no mean over sites.
            let means: Option<Vec<f64>> = means.collect();
            let cases = MetricSummary::of(metric, &scores(metric, targets()));
            let mean_of_sites = means.and_then(|m| super::scores::mean(&m));
            (metric, OverallSummary { mean_of_sites, sites_interval: None, cases })
        };
        self.overall = self.metrics.iter().map(over).collect();
    }

    /// Adds a bootstrap interval to every mean. Cases are resampled within their sites, for the mean over
    /// sites as for the mean over cases: the intervals are about other cases of these sites, not about
    /// other sites.
    ///
    /// # Errors
    /// When the bootstrap configuration is invalid.
    pub fn with_intervals(mut self, config: &BootstrapConfig) -> Result<Self> {
        config.validate()?;
        let values = |site: &str, metric| -> Vec<f64> {
            scores(metric, self.site_cases(site)).iter().filter_map(Score::counted).collect()
        };
        let mut sites = self.sites.clone();
        let mut overall = Vec::new();
        for metric in self.metrics.clone() {
            let mut targets = Vec::new();
            for site in &mut sites {
                let own = values(&site.site, metric);
                let interval = config.interval(&[own.as_slice()], MeanOver::Cases)?;
                site.metrics.update(metric, |summary| summary.interval = interval);
                if site.role == Role::Target {
                    targets.push(own);
                }
            }
            let groups: Vec<&[f64]> = targets.iter().map(Vec::as_slice).collect();
            let over = |over| config.interval(&groups, over);
            overall.push((metric, over(MeanOver::Groups)?, over(MeanOver::Cases)?));
        }
        self.sites = sites;
        for (metric, over_sites, over_cases) in overall {
            self.overall.update(metric, |summary| {
                summary.sites_interval = over_sites;
                summary.cases.interval = over_cases;
            });
        }
        self.bootstrap = Some(config.clone());
        Ok(self)
    }
}
