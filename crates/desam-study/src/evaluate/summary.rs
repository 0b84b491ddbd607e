//! One metric over many cases.

use super::by_metric::number;
use super::{CaseScore, Evaluation, Role};
use crate::Result;
use desam_metrics::metric::{CaseMetric, Score, Summary};
use desam_metrics::statistics::{BootstrapConfig, Interval, MeanOver};
use serde::{Deserialize, Serialize};

/// One metric over the cases of a site. Every case is in it: in the mean, or counted as left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSummary {
    /// Mean over all cases but those left out; `None` where that is no case.
    #[serde(with = "number")]
    pub mean: Option<f64>,
    /// Where the mean would lie with other cases of this site; where intervals were asked for and
    /// all values are finite.
    #[serde(default)]
    pub interval: Option<Interval>,
    /// Their median.
    #[serde(with = "number")]
    pub median: Option<f64>,
    /// The worst case's value; of a volume error that furthest from 0.
    #[serde(with = "number")]
    pub worst: Option<f64>,
    /// Cases in the mean.
    pub cases: usize,
    /// Cases that the policy on empty masks left out of the mean.
    pub left_out: usize,
    /// Cases, in the mean or not, that were missed: nothing was found where something was.
    pub missed: usize,
    /// Cases, in the mean or not, that were invented: something was found where nothing was.
    pub invented: usize,
    /// Cases, in the mean or not, with nothing to find and nothing found.
    pub both_empty: usize,
}

/// One metric over the sites that training never saw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverallSummary {
    /// Mean of the sites' means.
    #[serde(with = "number")]
    pub mean_of_sites: Option<f64>,
    /// Where it would lie with other cases of the same sites.
    #[serde(default)]
    pub sites_interval: Option<Interval>,
    /// All cases of these sites as one site, its interval with as many cases of each.
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

/// What a metric says of some cases; those it was not measured on are not in it.
fn scores<'a>(metric: CaseMetric, cases: impl IntoIterator<Item = &'a CaseScore>) -> Vec<Score> {
    cases.into_iter().filter_map(|case| case.score(metric)).collect()
}

impl Evaluation {
    /// The cases of a site.
    pub fn site_cases(&self, site: &str) -> impl Iterator<Item = &CaseScore> {
        self.cases.iter().filter(move |c| c.site == site)
    }

    /// Sets what all metrics say of the sites and over them, from the cases.
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
            // A site without a value in its mean leaves no mean of the sites.
            let means: Option<Vec<f64>> = means.collect();
            let cases = MetricSummary::of(metric, &scores(metric, targets()));
            let mean_of_sites = means.and_then(|m| super::scores::mean(&m));
            (metric, OverallSummary { mean_of_sites, sites_interval: None, cases })
        };
        self.overall = self.metrics.iter().map(over).collect();
    }

    /// The same with an interval beside every mean. Cases are drawn within their sites, for the
    /// mean of the sites as for the mean of all cases: the intervals speak of other cases of these
    /// sites, not of other sites.
    ///
    /// # Errors
    /// When the configuration makes no sense.
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
