//! Comparability of two evaluations: the same cases, scored with the same settings.

use super::{CaseScore, Evaluation, Role};
use crate::{Error, Result};
use desam_metrics::metric::CaseMetric;

/// Refuses evaluations of different voxels or cases, listing the differences.
pub(super) fn check(a: &Evaluation, b: &Evaluation, metric: CaseMetric) -> Result<()> {
    for (which, evaluation) in [("first", a), ("second", b)] {
        let measured = |c: &CaseScore| c.score(metric).is_some() || c.metrics.get(metric).is_some();
        if !evaluation.cases.iter().all(measured) {
            return Err(Error::MetricMissing { which, metric });
        }
    }
    let differences = differences(a, b);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::ScoredDifferently { differences })
}

fn differences(a: &Evaluation, b: &Evaluation) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            found.push(format!("{what}: {a} and {b}"));
        }
    };
    differ("protocol", a.protocol.to_string(), b.protocol.to_string());
    // Scores from before the truth was recorded may be against either.
    if let (Some(a), Some(b)) = (a.truth, b.truth) {
        differ("truth", a.to_string(), b.to_string());
    }
    differ("classes", a.classes.to_string(), b.classes.to_string());
    differ("border, in pixels", a.border_px.to_string(), b.border_px.to_string());
    differ("side of the masks", a.mask_side.to_string(), b.mask_side.to_string());
    let policy = |e: &Evaluation| format!("{:?}", e.empty_policy.one).to_lowercase();
    differ("distance of an empty mask", policy(a), policy(b));
    for case in targets(a) {
        let name = format!("{}/{}", case.site, case.case);
        let other = targets(b).find(|c| (&c.site, &c.case) == (&case.site, &case.case));
        match other {
            None => found.push(format!("{name} is in the first run alone")),
            Some(other) => found.extend(other_voxels(&name, case, other)),
        }
    }
    for case in targets(b) {
        if !targets(a).any(|c| (&c.site, &c.case) == (&case.site, &case.case)) {
            found.push(format!("{}/{} is in the second run alone", case.site, case.case));
        }
    }
    found
}

/// The difference in a case's ground truth, if any.
fn other_voxels(name: &str, a: &CaseScore, b: &CaseScore) -> Option<String> {
    if let (Some(a), Some(b)) = (&a.grid, &b.grid)
        && a != b
    {
        let show = |g: &desam_metrics::metric::VoxelGrid| {
            format!("{:?} voxels of {:?} mm", g.shape, g.spacing_mm)
        };
        return Some(format!("{name}: {} and {}", show(a), show(b)));
    }
    if (a.truth_voxels, a.slices) == (b.truth_voxels, b.slices) {
        return None;
    }
    let show = |c: &CaseScore| format!("{} true voxels in {} slices", c.truth_voxels, c.slices);
    Some(format!("{name}: {} and {}", show(a), show(b)))
}

fn targets(evaluation: &Evaluation) -> impl Iterator<Item = &CaseScore> {
    evaluation.cases.iter().filter(|c| c.role == Role::Target)
}

/// Whether both evaluations have the same held-out cases of a site.
pub(super) fn held_out(a: &Evaluation, b: &Evaluation, site: &str) -> bool {
    let cases = |e: &Evaluation| {
        let own = e.site_cases(site).filter(|c| c.role == Role::SourceValidation);
        let mut names: Vec<_> = own.map(|c| (c.case.clone(), c.truth_voxels, c.slices)).collect();
        names.sort();
        names
    };
    cases(a) == cases(b)
}

/// Differences that do not prevent a comparison, but that a reader must know.
pub(super) fn notes(a: &Evaluation, b: &Evaluation) -> Vec<String> {
    let mut notes = Vec::new();
    if a.source != b.source {
        notes
            .push(format!("the first run was trained on {}, the second on {}", a.source, b.source));
    }
    let drawn = |e: &Evaluation| (e.mode, e.grid, e.selection, e.match_source, e.precision);
    if drawn(a) != drawn(b) {
        notes.push(format!("the first run: {}; the second: {}", a.setting(), b.setting()));
    }
    notes
}
