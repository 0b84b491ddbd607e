//! Scores as files.

use super::{CaseScore, Evaluation, UnscoredCase};
use crate::{Error, Result};
use desam::files::{write_json, write_text};
use desam_metrics::metric::CaseMetric;
use std::path::Path;

/// Columns before those of the metrics; Dice is always among them.
const FIRST: [&str; 9] = [
    "site",
    "case",
    "role",
    "dice_0_to_1",
    "slices",
    "truth_voxels",
    "predicted_voxels",
    "truth_ml",
    "predicted_ml",
];
/// The last column.
const LOST: &str = "not_scored_because";

/// Metrics with a column of their own.
fn columns(evaluation: &Evaluation) -> impl Iterator<Item = CaseMetric> {
    evaluation.metrics.iter().copied().filter(|m| *m != CaseMetric::DICE)
}

/// A metric's column; its unit is in the name.
fn column(metric: CaseMetric) -> String {
    match metric {
        CaseMetric::Overlap(_) | CaseMetric::SurfaceDice { .. } => format!("{metric}_0_to_1"),
        CaseMetric::RelativeVolumeError => "volume_error_percent".to_owned(),
        _ => metric.to_string(),
    }
}

/// A metric's value in its column; nothing where the case is left out of means.
fn cell(metric: CaseMetric, case: &CaseScore) -> String {
    let scale = if metric == CaseMetric::RelativeVolumeError { 100.0 } else { 1.0 };
    optional(case.score(metric).and_then(|s| s.counted()).map(|v| scale * v))
}

fn optional(value: Option<f64>) -> String {
    value.map(|v| format!("{v:?}")).unwrap_or_default()
}

fn scored(evaluation: &Evaluation, case: &CaseScore) -> Vec<String> {
    let mut row = vec![
        case.site.clone(),
        case.case.clone(),
        case.role.name().to_owned(),
        optional(Some(case.dice)),
        case.slices.to_string(),
        case.truth_voxels.to_string(),
        case.predicted_voxels.to_string(),
        optional(case.truth_ml),
        optional(case.predicted_ml),
    ];
    row.extend(columns(evaluation).map(|m| cell(m, case)));
    row.push(String::new());
    row
}

fn lost(evaluation: &Evaluation, case: &UnscoredCase) -> Vec<String> {
    let mut row = vec![case.site.clone(), case.case.clone(), case.role.name().to_owned()];
    row.resize(FIRST.len() + columns(evaluation).count(), String::new());
    row.push(case.reason.clone());
    row
}

impl Evaluation {
    /// Writes everything as JSON, in one step.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        Ok(write_json(path, self)?)
    }

    /// Writes one row a case as CSV, in one step; cases that could not be scored come last,
    /// without numbers. Units are in the names of the columns: shares are from 0 to 1, an infinite
    /// value is `inf`, and one that the policy on empty masks leaves out of means is empty.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let failed = |e: csv::Error| Error::file(path, format!("cannot be written: {e}"));
        let mut head: Vec<String> = FIRST.map(str::to_owned).to_vec();
        head.extend(columns(self).map(column));
        head.push(LOST.to_owned());
        let rows = self.cases.iter().map(|c| scored(self, c));
        let rows = rows.chain(self.unscored.iter().map(|c| lost(self, c)));
        for row in std::iter::once(head).chain(rows) {
            csv.write_record(row).map_err(failed)?;
        }
        let bytes = csv.into_inner().map_err(|e| Error::file(path, e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|e| Error::file(path, e.to_string()))?;
        Ok(write_text(path, &text)?)
    }
}
