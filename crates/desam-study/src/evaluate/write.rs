//! Output of scores as JSON and CSV.

use super::{CaseScore, ClassScore, Evaluation, Protocol, UnscoredCase};
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
/// Columns of a class beside those of its metrics.
const CLASS_COLUMNS: [&str; 2] = ["truth_ml", "predicted_ml"];
/// Columns after those of the metrics under the full protocol: what was predicted on slices without
/// ground truth.
const EMPTY_SLICE_COLUMNS: [&str; 5] = [
    "labelled_slices_dice_0_to_1",
    "empty_slices",
    "empty_slices_with_mask",
    "empty_slices_predicted_voxels",
    "labelled_slices_without_mask",
];
/// The last columns: why a case was not scored, and the Dice that the model expected of a scored one.
const LAST_COLUMNS: [&str; 2] = ["not_scored_because", "confidence_0_to_1"];

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

/// Indices from 0 of the classes with columns: those of a model of several.
fn classes(evaluation: &Evaluation) -> std::ops::Range<usize> {
    0..if evaluation.classes.is_several() { evaluation.classes.len() } else { 0 }
}

/// Names of a class's columns: its volumes and all metrics, then the class.
fn class_columns(evaluation: &Evaluation, class: usize) -> impl Iterator<Item = String> {
    let name = evaluation.classes.name(class + 1).unwrap_or_default();
    let volumes = CLASS_COLUMNS.iter().map(|column| (*column).to_owned());
    let metrics = evaluation.metrics.iter().copied().map(column);
    volumes.chain(metrics).map(move |column| format!("{column}_{name}"))
}

/// Cells of a class's columns.
fn class_cells(evaluation: &Evaluation, class: Option<&ClassScore>) -> Vec<String> {
    let volumes = class.map_or([None; 2], |class| [class.truth_ml, class.predicted_ml]);
    let score = |metric: CaseMetric| class.and_then(|class| class.score(metric)?.counted());
    let metrics = evaluation.metrics.iter().map(|metric| scaled(*metric, score(*metric)));
    volumes.map(optional).into_iter().chain(metrics).collect()
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
    row.extend(classes(evaluation).flat_map(|n| class_cells(evaluation, case.classes.get(n))));
    if evaluation.protocol == Protocol::Full {
        row.extend(empty_slice_cells(case));
    }
    row.extend([String::new(), optional(case.confidence)]);
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

/// Number of columns before [`LAST_COLUMNS`].
fn columns_before_last(evaluation: &Evaluation) -> usize {
    let empty_slices = match evaluation.protocol {
        Protocol::Full => EMPTY_SLICE_COLUMNS.len(),
        Protocol::Paper | Protocol::Native => 0,
    };
    let classes = classes(evaluation).len() * (CLASS_COLUMNS.len() + evaluation.metrics.len());
    LEADING_COLUMNS.len() + columns(evaluation).count() + classes + empty_slices
}

fn unscored_row(evaluation: &Evaluation, case: &UnscoredCase) -> Vec<String> {
    let mut row = vec![case.site.clone(), case.case.clone(), case.role.name().to_owned()];
    row.resize(columns_before_last(evaluation), String::new());
    row.extend([case.reason.clone(), String::new()]);
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
    /// the policy on empty masks leaves out of means is empty. Voxels and volumes are those of all classes
    /// together, metrics are means over the classes; of a model of several, columns that end in a class's
    /// name have its own volumes and metrics.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let failed = |e: csv::Error| Error::file(path, format!("cannot be written: {e}"));
        let mut head: Vec<String> = LEADING_COLUMNS.map(str::to_owned).to_vec();
        head.extend(columns(self).map(column));
        head.extend(classes(self).flat_map(|class| class_columns(self, class)));
        if self.protocol == Protocol::Full {
            head.extend(EMPTY_SLICE_COLUMNS.map(str::to_owned));
        }
        head.extend(LAST_COLUMNS.map(str::to_owned));
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
