//! How a run is kept while it goes.

use super::KeepFeatures;
use crate::{Error, Result};
use candle_core::Device;
use std::time::Duration;

/// What does not change the model that comes out: whether a run is continued, how often it is
/// saved, and what time it is.
pub struct RunOptions<'a> {
    /// Continue the run in the folder; where there is none, begin it.
    pub resume: bool,
    /// Write a checkpoint when the last one is this old by the clock; `None`: at the ends of epochs
    /// alone, where there is always one.
    pub checkpoint_every: Option<Duration>,
    /// Checkpoints that are kept, the newest ones; at least 1. The best model is a file of its own.
    pub keep_checkpoints: usize,
    /// Write event files for TensorBoard into the run's folder `tensorboard`: losses, learning rate
    /// and, where it is limited, the gradient's length of each step, and the rows of the history,
    /// all by the optimiser's steps. A run that is continued gets another file.
    pub tensorboard: bool,
    /// Where features are between steps.
    pub keep_features: KeepFeatures,
    /// Batches that are read ahead of the step that computes ([`Trainer::reading_ahead`]), where
    /// features are read from the cache; `None`: 2 on a GPU, none on the CPU, which computes too long
    /// for it to matter and has to hold them.
    ///
    /// [`Trainer::reading_ahead`]: super::Trainer::reading_ahead
    pub read_ahead: Option<usize>,
    /// Time since the beginning of 1970; asked after each step. The library reads no clock of its
    /// own.
    pub clock: Box<dyn FnMut() -> Duration + Send + 'a>,
}

impl Default for RunOptions<'_> {
    /// A new run, a checkpoint after each epoch, two kept, and a clock that stands still.
    fn default() -> Self {
        Self {
            resume: false,
            checkpoint_every: None,
            keep_checkpoints: 2,
            tensorboard: false,
            keep_features: KeepFeatures::Auto,
            read_ahead: None,
            clock: Box::new(|| Duration::ZERO),
        }
    }
}

impl std::fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions")
            .field("resume", &self.resume)
            .field("checkpoint_every", &self.checkpoint_every)
            .field("keep_checkpoints", &self.keep_checkpoints)
            .field("tensorboard", &self.tensorboard)
            .field("keep_features", &self.keep_features)
            .field("read_ahead", &self.read_ahead)
            .finish_non_exhaustive()
    }
}

impl RunOptions<'_> {
    /// Batches to read ahead: none where nothing is read, since features are kept or made anew.
    pub(super) fn ahead(&self, unread: bool, device: &Device) -> usize {
        let usual = if device.is_cpu() { 0 } else { 2 };
        if unread { 0 } else { self.read_ahead.unwrap_or(usual) }
    }

    /// Checks that a run can be kept so.
    ///
    /// # Errors
    /// When no checkpoint would be kept.
    pub fn validate(&self) -> Result<()> {
        match self.keep_checkpoints {
            0 => Err(Error::Invalid("training: at least one checkpoint must be kept".into())),
            _ => Ok(()),
        }
    }
}
