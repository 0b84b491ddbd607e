//! Who is told of a training as it goes.

use super::{EpochRecord, Trainer};
use crate::Result;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRecord {
    /// Total loss, mean over the step's slices.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Length of the gradient before it was shortened; `None` where its length is not limited.
    pub gradient_norm: Option<f64>,
}

/// Is told of every step and epoch, with the trainer as it then stands. An error ends the training.
pub trait Observer {
    /// After a step, before the next one.
    ///
    /// # Errors
    /// Whatever it meets.
    fn step(&mut self, _trainer: &Trainer<'_>, _record: &StepRecord) -> Result<()> {
        Ok(())
    }

    /// After an epoch and its validation.
    ///
    /// # Errors
    /// Whatever it meets.
    fn epoch(&mut self, trainer: &Trainer<'_>, record: &EpochRecord) -> Result<()>;
}

/// A closure that is called after each epoch.
pub(super) struct After<F>(pub(super) F);

impl<F: FnMut(&EpochRecord) -> Result<()>> Observer for After<F> {
    fn epoch(&mut self, _trainer: &Trainer<'_>, record: &EpochRecord) -> Result<()> {
        (self.0)(record)
    }
}
