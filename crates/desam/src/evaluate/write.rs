//! Scores as files.

use super::{CaseScore, Evaluation, UnscoredCase};
use crate::files::{write_json, write_text};
use crate::{Error, Result};
use serde::Serialize;
use std::path::Path;

/// A row of the CSV file; the header has the units.
#[derive(Debug, Serialize)]
struct Row<'a> {
    site: &'a str,
    case: &'a str,
    role: &'a str,
    dice_0_to_1: Option<f64>,
    slices: Option<usize>,
    truth_voxels: Option<u64>,
    predicted_voxels: Option<u64>,
    truth_ml: Option<f64>,
    predicted_ml: Option<f64>,
    not_scored_because: Option<&'a str>,
}

impl<'a> From<&'a CaseScore> for Row<'a> {
    fn from(score: &'a CaseScore) -> Self {
        Self {
            site: &score.site,
            case: &score.case,
            role: score.role.name(),
            dice_0_to_1: Some(score.dice),
            slices: Some(score.slices),
            truth_voxels: Some(score.truth_voxels),
            predicted_voxels: Some(score.predicted_voxels),
            truth_ml: score.truth_ml,
            predicted_ml: score.predicted_ml,
            not_scored_because: None,
        }
    }
}

impl<'a> From<&'a UnscoredCase> for Row<'a> {
    fn from(lost: &'a UnscoredCase) -> Self {
        Self {
            site: &lost.site,
            case: &lost.case,
            role: lost.role.name(),
            dice_0_to_1: None,
            slices: None,
            truth_voxels: None,
            predicted_voxels: None,
            truth_ml: None,
            predicted_ml: None,
            not_scored_because: Some(&lost.reason),
        }
    }
}

impl Evaluation {
    /// Writes everything as JSON, in one step.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }

    /// Writes one row a case as CSV, in one step; cases that could not be scored come last,
    /// without numbers. Dice is from 0 to 1.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let failed = |e: csv::Error| Error::file(path, format!("cannot be written: {e}"));
        let rows = self.cases.iter().map(Row::from).chain(self.unscored.iter().map(Row::from));
        for row in rows {
            csv.serialize(row).map_err(failed)?;
        }
        let bytes = csv.into_inner().map_err(|e| Error::file(path, e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|e| Error::file(path, e.to_string()))?;
        write_text(path, &text)
    }
}
