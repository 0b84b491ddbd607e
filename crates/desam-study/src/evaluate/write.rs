//! Output of scores as JSON and CSV.

use super::{CaseScore, Evaluation, Protocol, UnscoredCase};
use crate::{Error, Result};
use desam::files::{write_json, write_text};
use desam_metrics::metric::CaseMetric;
use std::path::Path;

/// Columns before those of the metrics; Dice always is among them.
const LEADING_COLUMNS: [&str; 9] = [
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
/// Columns after those of the metrics under the full protocol: what was predicted on slices without
/// ground truth.
const EMPTY_SLICE_COLUMNS: [&str; 5] = [
    "labelled_slices_dice_0_to_1",
    "empty_slices",
    "empty_slices_with_mask",
    "empty_slices_predicted_voxels",
    "labelled_slices_without_mask",
];
/// The last column: why a case was not scored.
const REASON_COLUMN: &str = "not_scored_because";

/// Metrics with a separate column: all but Dice.
fn columns(evaluation: &Evaluation) -> impl Iterator<Item = CaseMetric> {
    evaluation.metrics.iter().copied().filter(|m| *m != CaseMetric::DICE)
}

/// Column name of a metric, with its unit.
fn column(metric: CaseMetric) -> String {
    match metric {
        CaseMetric::Overlap(_) | CaseMetric::SurfaceDice { .. } => format!("{metric}_0_to_1"),
        CaseMetric::RelativeVolumeError => "volume_error_percent".to_owned(),
        _ => metric.to_string(),
    }
}

/// Cell of a metric; empty where the case is left out of means.
fn cell(metric: CaseMetric, case: &CaseScore) -> String {
    scaled(metric, case.score(metric).and_then(|s| s.counted()))
}

/// A value in the unit of its column.
fn scaled(metric: CaseMetric, value: Option<f64>) -> String {
    let scale = if metric == CaseMetric::RelativeVolumeError { 100.0 } else { 1.0 };
    optional(value.map(|v| scale * v))
}

/// Columns of each class, by index from 0, of a model of several: all metrics.
fn class_columns(evaluation: &Evaluation) -> impl Iterator<Item = (usize, CaseMetric)> {
    let several = evaluation.classes.is_several();
    let classes = 0..if several { evaluation.classes.len() } else { 0 };
    classes.flat_map(|class| evaluation.metrics.iter().map(move |metric| (class, *metric)))
}

/// Name of a class's column: the metric's, then the class.
fn class_column(evaluation: &Evaluation, class: usize, metric: CaseMetric) -> String {
    let name = evaluation.classes.name(class + 1).unwrap_or_default();
    format!("{}_{name}", column(metric))
}

fn optional(value: Option<f64>) -> String {
    value.map(|v| format!("{v:?}")).unwrap_or_default()
}

fn scored_row(evaluation: &Evaluation, case: &CaseScore) -> Vec<String> {
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
    row.extend(class_columns(evaluation).map(|(class, metric)| {
        let score = case.classes.get(class).and_then(|class| class.score(metric));
        scaled(metric, score.and_then(|s| s.counted()))
    }));
    if evaluation.protocol == Protocol::Full {
        row.extend(empty_slice_cells(case));
    }
    row.push(String::new());
    row
}

/// Cells of [`EMPTY_SLICE_COLUMNS`]; empty in scores from before they were counted.
fn empty_slice_cells(case: &CaseScore) -> [String; 5] {
    let Some(empty) = case.empty_slices else { return Default::default() };
    [
        optional(Some(empty.labelled_dice)),
        empty.slices.to_string(),
        empty.with_mask.to_string(),
        empty.predicted_voxels.to_string(),
        empty.missed.to_string(),
    ]
}

/// Number of columns before the last one.
fn columns_before_reason(evaluation: &Evaluation) -> usize {
    let empty_slices = match evaluation.protocol {
        Protocol::Full => EMPTY_SLICE_COLUMNS.len(),
        Protocol::Paper | Protocol::Native => 0,
    };
    let classes = class_columns(evaluation).count();
    LEADING_COLUMNS.len() + columns(evaluation).count() + classes + empty_slices
}

fn unscored_row(evaluation: &Evaluation, case: &UnscoredCase) -> Vec<String> {
    let mut row = vec![case.site.clone(), case.case.clone(), case.role.name().to_owned()];
    row.resize(columns_before_reason(evaluation), String::new());
    row.push(case.reason.clone());
    row
}

impl Evaluation {
    /// Writes the evaluation as JSON, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        Ok(write_json(path, self)?)
    }

    /// Writes one row per case as CSV, atomically; unscored cases come last, without numbers. Column
    /// names contain the units: shares are from 0 to 1, an infinite value is `inf`, and a value that
    /// the policy on empty masks leaves out of means is empty.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let failed = |e: csv::Error| Error::file(path, format!("cannot be written: {e}"));
        let mut head: Vec<String> = LEADING_COLUMNS.map(str::to_owned).to_vec();
        head.extend(columns(self).map(column));
        head.extend(class_columns(self).map(|(class, metric)| class_column(self, class, metric)));
        if self.protocol == Protocol::Full {
            head.extend(EMPTY_SLICE_COLUMNS.map(str::to_owned));
        }
        head.push(REASON_COLUMN.to_owned());
        let rows = self.cases.iter().map(|c| scored_row(self, c));
        let rows = rows.chain(self.unscored.iter().map(|c| unscored_row(self, c)));
        for row in std::iter::once(head).chain(rows) {
            csv.write_record(row).map_err(failed)?;
        }
        let bytes = csv.into_inner().map_err(|e| Error::file(path, e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|e| Error::file(path, e.to_string()))?;
        Ok(write_text(path, &text)?)
    }
}
