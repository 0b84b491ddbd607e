//! The history of a run: one row per epoch.

use crate::{Error, Result};
use desam_core::files::open_regular;
use desam_volume::atomic::write_atomic;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Result of an epoch; a row of `history.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Learning rate of this epoch.
    pub learning_rate: f64,
    /// Total training loss, mean over slices.
    pub train_loss: f64,
    /// Soft Dice loss in training, mean over slices.
    pub train_dice_loss: f64,
    /// Total loss on the validation slices, mean over slices.
    pub validation_loss: f64,
    /// Soft Dice loss on the validation slices, mean over slices.
    pub validation_dice_loss: f64,
    /// Dice of the validation cases over their labelled slices, one seeded prompt per slice, mean
    /// over cases, 0 to 1.
    pub validation_dice: f64,
    /// Whether the model was the best so far.
    pub best: bool,
}

/// Writes the whole history in an atomic write: a killed run leaves the rows of whole epochs.
pub(crate) fn write(path: &Path, history: &[EpochRecord]) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let failed = |e: csv::Error| Error::file(path, format!("cannot be written: {e}"));
    for row in history {
        csv.serialize(row).map_err(failed)?;
    }
    let bytes = csv.into_inner().map_err(|e| Error::file(path, e.to_string()))?;
    Ok(write_atomic(path, |out| std::io::Write::write_all(out, &bytes))?)
}

/// Reads a history.
pub(crate) fn read(path: &Path) -> Result<Vec<EpochRecord>> {
    let file = open_regular(path).map_err(Error::io("read", path))?;
    let rows = csv::Reader::from_reader(file).into_deserialize();
    rows.collect::<Result<_, csv::Error>>().map_err(|e| Error::file(path, e.to_string()))
}
