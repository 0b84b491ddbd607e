//! Messages from reading a model's file.

use desam_core::Progress;
use desam_encoder::Checkpoint;
use std::path::Path;

/// Messages from reading a model's file, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointNotes {
    /// Choices that affect the results; see [`Checkpoint::warnings`].
    pub warnings: Vec<String>,
    /// Which parts of the file were used and which were ignored; see [`Checkpoint::notes`].
    pub details: Vec<String>,
}

impl CheckpointNotes {
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        Self { warnings: checkpoint.warnings.clone(), details: checkpoint.notes.clone() }
    }

    /// Reports every message with the file's name.
    pub fn say(&self, path: &Path, progress: &dyn Progress) {
        let name = path.display();
        self.warnings.iter().for_each(|w| progress.warn(&format!("{name}: {w}")));
        self.details.iter().for_each(|d| progress.detail(&format!("{name}: {d}")));
    }
}
