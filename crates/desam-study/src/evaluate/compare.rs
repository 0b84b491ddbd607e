//! Two runs on the same cases.

use super::{Evaluation, Role, Truth};
use crate::{Error, Result};
use desam_metrics::metric::CaseMetric;
use desam_metrics::statistics::{
    BootstrapConfig, FlipTest, Interval, MeanOver, SignFlip, WilcoxonTest, holm, wilcoxon,
};
use serde::{Deserialize, Serialize};

/// What is compared, and with which draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompareConfig {
    /// The metric.
    pub metric: CaseMetric,
    /// Draws of the intervals; the sign-flip tests take as many from the same seed.
    pub bootstrap: BootstrapConfig,
}

/// The differences of some cases, second run less first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Cases that were compared.
    pub cases: usize,
    /// The first run's mean.
    pub mean_a: f64,
    /// The second run's mean.
    pub mean_b: f64,
    /// Mean of the differences, second run less first.
    pub mean_difference: f64,
    /// Where that would lie with other cases of the same sites; `None` where a site has one case.
    pub interval: Option<Interval>,
    /// Cases in which the second run is better.
    pub better: usize,
    /// Cases in which it is worse.
    pub worse: usize,
    /// Wilcoxon's signed-rank test over these cases; it knows no sites.
    pub wilcoxon: WilcoxonTest,
    /// The sign-flip test of the mean difference.
    pub sign_flip: FlipTest,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteDifference {
    /// The site.
    pub site: String,
    /// What its cases were to the training.
    pub role: Role,
    /// The difference.
    pub difference: Difference,
    /// The sign-flip test's p-value, corrected by Holm for the number of target sites; `None` for
    /// the source site's held-out cases, which are no part of that question.
    pub holm_p_value: Option<f64>,
}

/// Two runs on the same cases, under the same protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// What was compared, and with which draws.
    pub config: CompareConfig,
    /// How the first run was prompted and scored.
    pub setting_a: String,
    /// How the second was.
    pub setting_b: String,
    /// What both are against; `None` where one does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<Truth>,
    /// What differs between the two beside the model, in words; empty where nothing does.
    pub notes: Vec<String>,
    /// Every site, the source site's held-out cases first.
    pub sites: Vec<SiteDifference>,
    /// Mean of the target sites' mean differences.
    pub mean_of_sites: Option<Difference>,
    /// Mean over all cases of the target sites.
    pub mean_of_cases: Option<Difference>,
}

/// Compares two evaluations case by case.
///
/// # Errors
/// When the two were scored differently (protocol, border, side of the masks, policy on empty
/// masks, voxels) or on other cases of the target sites, with the differences; when the metric was
/// not measured, or has no finite value in some case; when there is nothing to compare.
pub fn compare(a: &Evaluation, b: &Evaluation, config: &CompareConfig) -> Result<Comparison> {
    config.bootstrap.validate()?;
    super::same::check(a, b, config.metric)?;
    let mut notes = super::same::notes(a, b);
    let sites = pairs(a, b, config.metric, &mut notes)?;
    if sites.is_empty() {
        return Err(Error::Invalid("the two runs have no case in common".into()));
    }
    let differences = sites.iter().map(|site| config.difference(&[site], MeanOver::Cases));
    let differences = differences.collect::<Result<Vec<_>>>()?;
    let is_target = |site: &&Site| site.role == Role::Target;
    let raw: Vec<f64> = sites
        .iter()
        .zip(&differences)
        .filter(|(site, _)| is_target(site))
        .map(|(_, d)| d.sign_flip.p_value)
        .collect();
    let mut corrected = holm(&raw).into_iter();
    let targets: Vec<&Site> = sites.iter().filter(is_target).collect();
    let over = |over| match targets.is_empty() {
        true => Ok(None),
        false => config.difference(&targets, over).map(Some),
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

/// The cases of a site in both runs.
struct Site {
    name: String,
    role: Role,
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Site {
    fn differences(&self) -> Vec<f64> {
        self.a.iter().zip(&self.b).map(|(a, b)| b - a).collect()
    }
}

/// Both runs' values, site by site. Held-out cases of the source site that are not the same are
/// noted and not compared.
fn pairs(
    a: &Evaluation,
    b: &Evaluation,
    metric: CaseMetric,
    notes: &mut Vec<String>,
) -> Result<Vec<Site>> {
    let mut sites = Vec::new();
    for summary in &a.sites {
        let (name, role) = (summary.site.clone(), summary.role);
        if role == Role::SourceValidation && !super::same::held_out(a, b, &name) {
            notes.push(format!("the held-out cases of {name} differ and are not compared"));
            continue;
        }
        let mut site = Site { name, role, a: Vec::new(), b: Vec::new() };
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
    fn difference(&self, sites: &[&Site], over: MeanOver) -> Result<Difference> {
        let groups: Vec<Vec<f64>> = sites.iter().map(|s| s.differences()).collect();
        let groups: Vec<&[f64]> = groups.iter().map(Vec::as_slice).collect();
        let all = groups.concat();
        let mean = |values: fn(&Site) -> &[f64]| {
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
        // Whether the second of two values is the better one.
        let gain = |(a, b): (&f64, &f64)| *a != *b && self.metric.worse(*a, *b) == *a;
        let pairs = || sites.iter().flat_map(|s| s.a.iter().zip(&s.b));
        let better = pairs().filter(|p| gain(*p)).count();
        let worse = pairs().filter(|(a, b)| gain((b, a))).count();
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
