//! Reading a file of scores.

use super::{Evaluation, score_range};
use crate::Result;
use std::path::Path;

impl Evaluation {
    /// Reads a file of [`write_json`](Self::write_json). For a file from before there were metrics other
    /// than Dice, the summaries are computed from its cases.
    ///
    /// # Errors
    /// When the file cannot be read, is not an evaluation, or holds a value out of range.
    pub fn read_json(path: &Path) -> Result<Self> {
        let read: Self = desam::files::read_json(path)?;
        score_range::check(&read, path)?;
        let older = read.sites.iter().any(|s| s.metrics.is_empty());
        Ok(if older { read.summarised() } else { read })
    }
}
