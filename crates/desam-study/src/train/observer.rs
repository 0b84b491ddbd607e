//! Callbacks of a training loop.

use super::{EpochRecord, Trainer};
use crate::Result;

/// Result of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRecord {
    /// Total loss, mean over the step's slices.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping; `None` without gradient clipping.
    pub gradient_norm: Option<f64>,
}

/// Callbacks after every step and epoch, with the trainer as it then is. An error ends the training.
pub trait Observer {
    /// Called after a step, before the next one.
    ///
    /// # Errors
    /// The implementor's.
    fn step(&mut self, _trainer: &Trainer<'_>, _record: &StepRecord) -> Result<()> {
        Ok(())
    }

    /// Called after an epoch and its validation.
    ///
    /// # Errors
    /// The implementor's.
    fn epoch(&mut self, trainer: &Trainer<'_>, record: &EpochRecord) -> Result<()>;
}

/// Adapts a closure to an [`Observer`] of epochs.
pub(super) struct EpochCallback<F>(pub(super) F);

impl<F: FnMut(&EpochRecord) -> Result<()>> Observer for EpochCallback<F> {
    fn epoch(&mut self, _trainer: &Trainer<'_>, record: &EpochRecord) -> Result<()> {
        (self.0)(record)
    }
}
