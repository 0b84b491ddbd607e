//! Paired comparison of two runs on the same cases: bootstrap intervals and paired tests.

use super::{Evaluation, GroundTruthKind, Role};
use crate::{Error, Result};
use desam_metrics::metric::CaseMetric;
use desam_metrics::statistics::{
    BootstrapConfig, FlipTest, Interval, MeanOver, SignFlip, WilcoxonTest, holm, wilcoxon,
};
use serde::{Deserialize, Serialize};

/// Settings of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompareConfig {
    /// The metric.
    pub metric: CaseMetric,
    /// Bootstrap of the intervals; the sign-flip tests use as many draws from the same seed.
    pub bootstrap: BootstrapConfig,
}

/// Paired difference of two runs over some cases, second minus first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Number of compared cases.
    pub cases: usize,
    /// The first run's mean.
    pub mean_a: f64,
    /// The second run's mean.
    pub mean_b: f64,
    /// Mean of the paired differences, second minus first.
    pub mean_difference: f64,
    /// Bootstrap interval of that mean, cases drawn within their sites; `None` where a site has one case.
    pub interval: Option<Interval>,
    /// Cases in which the second run is better.
    pub better: usize,
    /// Cases in which it is worse.
    pub worse: usize,
    /// Wilcoxon signed-rank test (paired) over these cases, ignoring sites.
    pub wilcoxon: WilcoxonTest,
    /// Sign-flip permutation test (paired) of the mean difference.
    pub sign_flip: FlipTest,
}

/// Difference of two runs at one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteDifference {
    /// The site.
    pub site: String,
    /// The role of its cases.
    pub role: Role,
    /// The difference.
    pub difference: Difference,
    /// The sign-flip test's p-value with Holm's correction for the number of target sites; `None` for the
    /// source site's held-out cases, which are not part of that family of tests.
    pub holm_p_value: Option<f64>,
}

/// Comparison of two runs on the same cases, under the same protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The settings of the comparison.
    pub config: CompareConfig,
    /// Prompting and scoring settings of the first run.
    pub setting_a: String,
    /// Those of the second run.
    pub setting_b: String,
    /// The ground truth of both; `None` where one does not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<GroundTruthKind>,
    /// Other differences of the two runs besides the model, as text.
    pub notes: Vec<String>,
    /// Every site, the source site's held-out cases first.
    pub sites: Vec<SiteDifference>,
    /// Mean of the target sites' mean differences.
    pub mean_of_sites: Option<Difference>,
    /// Mean over all cases of the target sites.
    pub mean_of_cases: Option<Difference>,
}

/// Compares two evaluations case by case (paired).
///
/// # Errors
/// When the two were scored differently (protocol, border, side of the masks, policy on empty masks,
/// voxels) or on different cases of the target sites, listing the differences; when the metric was not
/// measured, or has no finite value in some case; when there is nothing to compare.
pub fn compare(a: &Evaluation, b: &Evaluation, config: &CompareConfig) -> Result<Comparison> {
    config.bootstrap.validate()?;
    super::comparability::check(a, b, config.metric)?;
    let mut notes = super::comparability::notes(a, b);
    let sites = pairs(a, b, config.metric, &mut notes)?;
    if sites.is_empty() {
        return Err(Error::NoCommonCase);
    }
    let differences = sites.iter().map(|site| config.difference(&[site], MeanOver::Cases));
    let differences = differences.collect::<Result<Vec<_>>>()?;
    let is_target = |site: &&PairedSite| site.role == Role::Target;
    let raw: Vec<f64> = sites
        .iter()
        .zip(&differences)
        .filter(|(site, _)| is_target(site))
        .map(|(_, d)| d.sign_flip.p_value)
        .collect();
    let mut corrected = holm(&raw).into_iter();
    let targets: Vec<&PairedSite> = sites.iter().filter(is_target).collect();
    let over = |over| {
        if targets.is_empty() { Ok(None) } else { config.difference(&targets, over).map(Some) }
    };
    Ok(Comparison {
        setting_a: a.setting(),
        setting_b: b.setting(),
        truth: a.truth.filter(|truth| b.truth == Some(*truth)),
        notes,
        mean_of_sites: over(MeanOver::Groups)?,
        mean_of_cases: over(MeanOver::Cases)?,
        sites: sites
            .iter()
            .zip(differences)
            .map(|(site, difference)| SiteDifference {
                site: site.name.clone(),
                role: site.role,
                difference,
                holm_p_value: (site.role == Role::Target).then(|| corrected.next()).flatten(),
            })
            .collect(),
        config: config.clone(),
    })
}

/// Paired values of the cases of a site.
struct PairedSite {
    name: String,
    role: Role,
    a: Vec<f64>,
    b: Vec<f64>,
}

impl PairedSite {
    fn differences(&self) -> Vec<f64> {
        self.a.iter().zip(&self.b).map(|(a, b)| b - a).collect()
    }
}

/// The values of both runs, site by site. If the held-out cases of the source site differ, that is noted
/// and they are not compared.
fn pairs(
    a: &Evaluation,
    b: &Evaluation,
    metric: CaseMetric,
    notes: &mut Vec<String>,
) -> Result<Vec<PairedSite>> {
    let mut sites = Vec::new();
    for summary in &a.sites {
        let (name, role) = (summary.site.clone(), summary.role);
        if role == Role::SourceValidation && !super::comparability::held_out(a, b, &name) {
            notes.push(format!("the held-out cases of {name} differ and are not compared"));
            continue;
        }
        let mut site = PairedSite { name, role, a: Vec::new(), b: Vec::new() };
        for case in a.site_cases(&site.name) {
            let other = b.site_cases(&site.name).find(|c| c.case == case.case);
            let lost = |which| Error::NoFiniteValue {
                metric,
                case: format!("{}/{}", case.site, case.case),
                which,
            };
            let value = |case: &super::CaseScore| {
                case.score(metric).and_then(|s| s.counted()).filter(|v| v.is_finite())
            };
            site.a.push(value(case).ok_or_else(|| lost("first"))?);
            site.b.push(other.and_then(value).ok_or_else(|| lost("second"))?);
        }
        sites.push(site);
    }
    Ok(sites)
}

impl CompareConfig {
    fn difference(&self, sites: &[&PairedSite], over: MeanOver) -> Result<Difference> {
        let groups: Vec<Vec<f64>> = sites.iter().map(|s| s.differences()).collect();
        let groups: Vec<&[f64]> = groups.iter().map(Vec::as_slice).collect();
        let all = groups.concat();
        let mean = |values: fn(&PairedSite) -> &[f64]| {
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            match over {
                MeanOver::Groups => {
                    mean(&sites.iter().map(|s| mean(values(s))).collect::<Vec<_>>())
                }
                MeanOver::Cases => {
                    mean(&sites.iter().flat_map(|s| values(s)).copied().collect::<Vec<_>>())
                }
            }
        };
        let flip = SignFlip { draws: self.bootstrap.resamples, seed: self.bootstrap.seed };
        let sign_flip = flip.test(&groups, over)?;
        // Whether `b` is better than `a`.
        let gain = |a: &f64, b: &f64| *a != *b && self.metric.worse(*a, *b) == *a;
        let pairs = || sites.iter().flat_map(|s| s.a.iter().zip(&s.b));
        let better = pairs().filter(|(a, b)| gain(a, b)).count();
        let worse = pairs().filter(|(a, b)| gain(b, a)).count();
        Ok(Difference {
            cases: all.len(),
            mean_a: mean(|s| &s.a),
            mean_b: mean(|s| &s.b),
            mean_difference: sign_flip.mean_difference,
            interval: self.bootstrap.interval(&groups, over)?,
            better,
            worse,
            wilcoxon: wilcoxon(&all)?,
            sign_flip,
        })
    }
}
