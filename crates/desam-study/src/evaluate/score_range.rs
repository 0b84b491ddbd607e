//! Value ranges of scores, checked when a file of scores is read.

use super::{Evaluation, MetricSummary};
use crate::{Error, Result};
use desam_metrics::metric::CaseMetric;
use desam_metrics::statistics::Interval;
use std::path::Path;

/// Tolerance for the rounding of a mean of ones.
const TOLERANCE: f64 = 1e-9;

/// The range of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScoreRange {
    Share,
    /// Distances and volumes; infinite where the policy on empty masks says so.
    NotNegative,
    /// Signed differences.
    AtLeastMinusOne,
    Any,
}

impl ScoreRange {
    fn of(metric: CaseMetric) -> Self {
        match metric {
            CaseMetric::Overlap(_) | CaseMetric::SurfaceDice { .. } => Self::Share,
            CaseMetric::RelativeVolumeError => Self::AtLeastMinusOne,
            CaseMetric::VolumeError => Self::Any,
            _ => Self::NotNegative,
        }
    }

    fn contains(self, value: f64) -> bool {
        match self {
            Self::Share => (-TOLERANCE..=1.0 + TOLERANCE).contains(&value),
            Self::NotNegative => value >= -TOLERANCE,
            Self::AtLeastMinusOne => value >= -1.0 - TOLERANCE,
            Self::Any => !value.is_nan(),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Share => "0 to 1",
            Self::NotNegative => "0 or more",
            Self::AtLeastMinusOne => "-1 or more",
            Self::Any => "a number",
        }
    }
}

/// Refuses a file of scores with a value out of range.
///
/// # Errors
/// [`Error::ScoreOutOfRange`] with the first such value and its field.
pub(super) fn check(evaluation: &Evaluation, path: &Path) -> Result<()> {
    let check = RangeCheck { path };
    let share = |field: String, value| check.value(field, Some(value), ScoreRange::Share);
    for (n, case) in evaluation.cases.iter().enumerate() {
        let field = |name: &str| format!("cases[{n}].{name} ({}/{})", case.site, case.case);
        share(field("dice"), case.dice)?;
        check.value(field("confidence"), case.confidence, ScoreRange::Share)?;
        check.value(field("truth_ml"), case.truth_ml, ScoreRange::NotNegative)?;
        check.value(field("predicted_ml"), case.predicted_ml, ScoreRange::NotNegative)?;
        for (metric, value) in case.metrics.iter() {
            check.value(field(&format!("metrics.{metric}")), value.0, ScoreRange::of(metric))?;
        }
        for class in &case.classes {
            let field = |name: &str| field(&format!("classes.{}.{name}", class.class));
            share(field("dice"), class.dice)?;
            for (metric, value) in class.metrics.iter() {
                check.value(field(&metric.to_string()), value.0, ScoreRange::of(metric))?;
            }
        }
    }
    for (n, site) in evaluation.sites.iter().enumerate() {
        let field = |name: &str| format!("sites[{n}].{name} ({})", site.site);
        share(field("mean_dice"), site.mean_dice)?;
        share(field("median_dice"), site.median_dice)?;
        share(field("min_dice"), site.min_dice)?;
        for (metric, summary) in site.metrics.iter() {
            check.summary(&field(&format!("metrics.{metric}")), metric, summary)?;
        }
    }
    check.value("overall_dice".into(), evaluation.overall_dice, ScoreRange::Share)?;
    check.value("overall_cases_dice".into(), evaluation.overall_cases_dice, ScoreRange::Share)?;
    for (metric, over) in evaluation.overall.iter() {
        let field = format!("overall.{metric}");
        let range = ScoreRange::of(metric);
        check.value(format!("{field}.mean_of_sites"), over.mean_of_sites, range)?;
        check.interval(&format!("{field}.sites_interval"), over.sites_interval, range)?;
        check.summary(&format!("{field}.cases"), metric, &over.cases)?;
    }
    if evaluation.border_px.saturating_mul(2) >= evaluation.mask_side {
        let found = evaluation.border_px as f64;
        let expected = "less than half of mask_side";
        return Err(check.refuse("border_px".into(), found, expected));
    }
    Ok(())
}

struct RangeCheck<'a> {
    path: &'a Path,
}

impl RangeCheck<'_> {
    fn refuse(&self, field: String, found: f64, expected: &'static str) -> Error {
        Error::ScoreOutOfRange { path: self.path.to_owned(), field, found, expected }
    }

    fn value(&self, field: String, value: Option<f64>, range: ScoreRange) -> Result<()> {
        match value.filter(|v| !range.contains(*v)) {
            Some(found) => Err(self.refuse(field, found, range.describe())),
            None => Ok(()),
        }
    }

    fn interval(&self, field: &str, interval: Option<Interval>, range: ScoreRange) -> Result<()> {
        let Some(Interval { low, high, .. }) = interval else {
            return Ok(());
        };
        self.value(format!("{field}.low"), Some(low), range)?;
        self.value(format!("{field}.high"), Some(high), range)?;
        if low > high {
            return Err(self.refuse(format!("{field}.low"), low, "not more than its high end"));
        }
        Ok(())
    }

    fn summary(&self, field: &str, metric: CaseMetric, summary: &MetricSummary) -> Result<()> {
        let range = ScoreRange::of(metric);
        self.value(format!("{field}.mean"), summary.mean, range)?;
        self.value(format!("{field}.median"), summary.median, range)?;
        self.value(format!("{field}.worst"), summary.worst, range)?;
        self.interval(&format!("{field}.interval"), summary.interval, range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::evaluation_with_hd95;
    use serde_json::{Value, json};

    #[test]
    fn values_out_of_range_are_refused_by_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evaluation_paper.json");
        let good = serde_json::to_value(evaluation_with_hd95()).unwrap();
        let read = |value: &Value| {
            std::fs::write(&path, value.to_string()).unwrap();
            Evaluation::read_json(&path).map_err(|e| e.to_string())
        };
        assert!(read(&good).is_ok());
        let mut infinite = good.clone();
        infinite["cases"][0]["metrics"]["hd95_mm"] = json!("infinite");
        assert!(read(&infinite).is_ok());
        for (pointer, value, words) in [
            ("/cases/1/dice", json!(3.0), ["cases[1].dice (B/Case2)", "0 to 1"]),
            ("/cases/1/dice", json!(-0.5), ["cases[1].dice", "-0.5"]),
            ("/cases/1/dice", json!(null), ["cases[1].dice", "null"]),
            ("/cases/0/metrics/hd95_mm", json!(-2.0), ["metrics.hd95_mm", "0 or more"]),
            ("/sites/0/mean_dice", json!(1.5), ["sites[0].mean_dice (A)", "1.5"]),
            ("/overall_dice", json!(42.0), ["overall_dice", "42"]),
            ("/sites/1/metrics/dice/mean", json!(7), ["sites[1].metrics.dice", "7"]),
            ("/border_px", json!(128), ["border_px", "half of mask_side"]),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            let message = read(&bad).unwrap_err();
            assert!(message.contains("evaluation_paper.json"), "{message}");
            assert!(words.iter().all(|w| message.contains(w)), "{pointer}: {message}");
        }
        // NaN is not valid JSON, but Python writes it.
        let text = good.to_string().replacen("0.8", "NaN", 1);
        std::fs::write(&path, &text).unwrap();
        let message = Evaluation::read_json(&path).unwrap_err().to_string();
        assert!(message.contains("cases[1].dice"), "{message}");
    }
}
