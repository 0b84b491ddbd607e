//! How far a training is, to the bit.

use super::EpochRecord;
use crate::Result;
use desam_core::LossValue;

/// Sums of an epoch's losses, weighted by slices.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct LossSums {
    pub(super) total: f64,
    pub(super) dice: f64,
    pub(super) slices: usize,
}

impl LossSums {
    pub(super) fn add(&mut self, value: &LossValue, slices: usize) -> Result<()> {
        self.total += f64::from(value.total.to_scalar::<f32>()?) * slices as f64;
        if let Some(dice) = value.terms.iter().find(|t| t.name == "dice") {
            self.dice += f64::from(dice.value.to_scalar::<f32>()?) * slices as f64;
        }
        self.slices += slices;
        Ok(())
    }

    pub(super) fn mean_total(&self) -> f64 {
        self.total / self.slices.max(1) as f64
    }

    pub(super) fn mean_dice(&self) -> f64 {
        self.dice / self.slices.max(1) as f64
    }
}

/// Where a training stands.
///
/// The order of slices and every prompt are drawn from streams of their own, keyed by (seed,
/// purpose, epoch, slice), so that these numbers are also the state of the random numbers: nothing
/// of a generator has to be kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Position {
    /// Epochs that are done, validation included.
    pub epoch: usize,
    /// Steps that are done of the epoch after those.
    pub step: usize,
    /// Losses of those steps.
    pub(super) losses: LossSums,
    /// A row for each epoch that is done.
    pub(super) history: Vec<EpochRecord>,
}

impl Position {
    /// A row for each epoch that is done.
    pub fn history(&self) -> &[EpochRecord] {
        &self.history
    }

    /// The best epoch so far.
    pub fn best(&self) -> Option<&EpochRecord> {
        self.history.iter().rfind(|row| row.best)
    }

    /// Epochs that are done or begun.
    pub(super) fn reached(&self) -> usize {
        self.epoch + usize::from(self.step > 0)
    }

    /// The epoch in progress has come to `record`.
    pub(super) fn complete(&mut self, record: EpochRecord) {
        self.history.push(record);
        self.epoch += 1;
        (self.step, self.losses) = (0, LossSums::default());
    }
}
