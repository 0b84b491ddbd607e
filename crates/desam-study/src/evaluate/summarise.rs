//! Summaries of an evaluation, computed from its cases.

use super::{
    BorderCut, ByMetric, CaseScore, ClassScore, ClassSummary, Evaluation, MetricSummary,
    OverallClass, OverallSummary, Role, SiteScore,
};
use crate::Result;
use desam_metrics::metric::{CaseMetric, Score};
use desam_metrics::statistics::{BootstrapConfig, MeanOver};

/// Summaries by site: the source site first, the others in order of appearance.
pub(super) fn by_site(cases: &[CaseScore]) -> Vec<SiteScore> {
    let mut names: Vec<(&str, Role)> = Vec::new();
    for case in cases {
        if !names.iter().any(|(site, _)| *site == case.site) {
            names.push((&case.site, case.role));
        }
    }
    names.sort_by_key(|(_, role)| *role == Role::Target);
    let score = |(site, role): (&str, Role)| {
        let of_site: Vec<&CaseScore> = cases.iter().filter(|c| c.site == site).collect();
        let mut sorted: Vec<f64> = of_site.iter().map(|c| c.dice).collect();
        sorted.sort_by(f64::total_cmp);
        SiteScore {
            site: site.to_owned(),
            role,
            cases: sorted.len(),
            mean_dice: mean(&sorted).unwrap_or(0.0),
            median_dice: median(&sorted).unwrap_or(0.0),
            min_dice: sorted.first().copied().unwrap_or(0.0),
            empty_predictions: of_site.iter().filter(|c| c.predicted_voxels == 0).count(),
            border: BorderCut::sum(of_site.iter().map(|c| c.border)),
            metrics: ByMetric::default(),
            classes: Vec::new(),
        }
    };
    names.into_iter().map(score).collect()
}

/// The mean; `None` for no values.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The median of sorted values; `None` for no values.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some(0.5 * (lower + upper))
}

/// Scores of some cases by a metric; cases without that metric are skipped.
fn scores<'a>(metric: CaseMetric, cases: impl IntoIterator<Item = &'a CaseScore>) -> Vec<Score> {
    cases.into_iter().filter_map(|case| case.score(metric)).collect()
}

/// Scores of class `class`, by index from 0, of some cases.
fn class_scores<'a>(
    metric: CaseMetric,
    class: usize,
    cases: impl IntoIterator<Item = &'a CaseScore>,
) -> Vec<Score> {
    let of_class = |case: &'a CaseScore| -> Option<&'a ClassScore> { case.classes.get(class) };
    cases.into_iter().filter_map(|case| of_class(case)?.score(metric)).collect()
}

/// Means over sites and cases; one site without a mean leaves no mean over sites.
fn overall(
    metric: CaseMetric,
    means: impl Iterator<Item = Option<f64>>,
    scores: &[Score],
) -> OverallSummary {
    let mean_of_sites = means.collect::<Option<Vec<f64>>>().and_then(|m| mean(&m));
    let cases = MetricSummary::of(metric, scores);
    OverallSummary { mean_of_sites, sites_interval: None, cases }
}

impl Evaluation {
    /// Computes the summaries of the sites and overall from the cases.
    pub(super) fn summarised(mut self) -> Self {
        self.sites = by_site(&self.cases);
        self.border = BorderCut::sum(self.cases.iter().map(|c| c.border));
        let sites: Vec<f64> = self.targets().map(|s| s.mean_dice).collect();
        let targets = self.cases.iter().filter(|c| c.role == Role::Target);
        let cases: Vec<f64> = targets.map(|c| c.dice).collect();
        self.overall_dice = mean(&sites);
        self.overall_cases_dice = mean(&cases);
        self.summarise_metrics();
        self
    }

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
        self.summarise_classes();
        let targets = || self.cases.iter().filter(|c| c.role == Role::Target);
        if targets().next().is_none() {
            return;
        }
        let over = |&metric: &CaseMetric| {
            let means = self.targets().map(|s| s.metrics.get(metric).and_then(|m| m.mean));
            (metric, overall(metric, means, &scores(metric, targets())))
        };
        self.overall = self.metrics.iter().map(over).collect();
    }

    /// Computes the summaries of each class of a model of several.
    fn summarise_classes(&mut self) {
        if !self.classes.is_several() {
            return;
        }
        let names: Vec<String> = self.classes.names().map(str::to_owned).collect();
        let of_site = |site: &SiteScore| -> Vec<ClassSummary> {
            let summary = |class: usize, metric: CaseMetric| {
                let scores = class_scores(metric, class, self.site_cases(&site.site));
                (metric, MetricSummary::of(metric, &scores))
            };
            let of_class = |(class, name): (usize, &String)| ClassSummary {
                class: name.clone(),
                metrics: self.metrics.iter().map(|metric| summary(class, *metric)).collect(),
            };
            names.iter().enumerate().map(of_class).collect()
        };
        let summaries: Vec<_> = self.sites.iter().map(of_site).collect();
        for (site, classes) in self.sites.iter_mut().zip(summaries) {
            site.classes = classes;
        }
        let targets = || self.cases.iter().filter(|c| c.role == Role::Target);
        if targets().next().is_none() {
            return;
        }
        let over = |class: usize, metric: CaseMetric| {
            let mean = |site: &SiteScore| site.classes.get(class)?.metrics.get(metric)?.mean;
            (
                metric,
                overall(metric, self.targets().map(mean), &class_scores(metric, class, targets())),
            )
        };
        let of_class = |(class, name): (usize, &String)| OverallClass {
            class: name.clone(),
            metrics: self.metrics.iter().map(|metric| over(class, *metric)).collect(),
        };
        self.overall_classes = names.iter().enumerate().map(of_class).collect();
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
        for site in &mut sites {
            for (class, summary) in site.classes.iter_mut().enumerate() {
                for metric in self.metrics.clone() {
                    let own = class_scores(metric, class, self.site_cases(&site.site));
                    let own: Vec<f64> = own.iter().filter_map(Score::counted).collect();
                    let interval = config.interval(&[own.as_slice()], MeanOver::Cases)?;
                    summary.metrics.update(metric, |summary| summary.interval = interval);
                }
            }
        }
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
