//! Options of a run that do not affect the trained model.

use super::FeatureResidency;
use crate::{Error, Result};
use candle_core::Device;
use std::time::Duration;

/// Batches that are prefetched on a GPU by default.
const GPU_PREFETCH: usize = 2;

/// Options that do not change the trained model: resuming, checkpoints, logging, where features are
/// kept, and the clock.
#[non_exhaustive]
pub struct RunOptions<'a> {
    /// Resume the run in the directory; where there is none, start it.
    pub resume: bool,
    /// Write a checkpoint when the last one is this old. `None`: only after each epoch, where there is
    /// always one.
    pub checkpoint_every: Option<Duration>,
    /// Checkpoints to keep, the newest ones; at least 1. The best model is a separate file.
    pub keep_checkpoints: usize,
    /// Write TensorBoard event files into the run's folder `tensorboard`: per optimizer step the loss,
    /// the learning rate and, with gradient clipping, the gradient norm; per epoch the row of the
    /// history. A resumed run adds another file.
    pub tensorboard: bool,
    /// Residency of features between steps.
    pub feature_residency: FeatureResidency,
    /// Batches to prefetch where features are read from the cache ([`Trainer::with_prefetch`]).
    /// `None`: 2 on a GPU; none on the CPU, where a step takes so long that reading does not matter,
    /// and prefetched batches would take memory.
    ///
    /// [`Trainer::with_prefetch`]: super::Trainer::with_prefetch
    pub prefetch: Option<usize>,
    /// Time since the Unix epoch, read after each step. A parameter because the library does not read
    /// the system clock.
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
            feature_residency: FeatureResidency::Auto,
            prefetch: None,
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
            .field("feature_residency", &self.feature_residency)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

impl<'a> RunOptions<'a> {
    /// Sets [`resume`](Self::resume).
    #[must_use]
    pub fn with_resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }

    /// Sets [`checkpoint_every`](Self::checkpoint_every).
    #[must_use]
    pub fn with_checkpoint_every(self, checkpoint_every: Option<Duration>) -> Self {
        Self { checkpoint_every, ..self }
    }

    /// Sets [`keep_checkpoints`](Self::keep_checkpoints).
    #[must_use]
    pub fn with_keep_checkpoints(self, keep_checkpoints: usize) -> Self {
        Self { keep_checkpoints, ..self }
    }

    /// Sets [`tensorboard`](Self::tensorboard).
    #[must_use]
    pub fn with_tensorboard(self, tensorboard: bool) -> Self {
        Self { tensorboard, ..self }
    }

    /// Sets [`feature_residency`](Self::feature_residency).
    #[must_use]
    pub fn with_feature_residency(self, feature_residency: FeatureResidency) -> Self {
        Self { feature_residency, ..self }
    }

    /// Sets [`prefetch`](Self::prefetch).
    #[must_use]
    pub fn with_prefetch(self, prefetch: Option<usize>) -> Self {
        Self { prefetch, ..self }
    }

    /// Sets [`clock`](Self::clock).
    #[must_use]
    pub fn with_clock(self, clock: impl FnMut() -> Duration + Send + 'a) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// Batches to prefetch on `device`; none where features are not read from the cache: they are
    /// kept on the device, or the encoder computes them.
    pub(super) fn prefetch_batches(&self, not_read: bool, device: &Device) -> usize {
        let default = if device.is_cpu() { 0 } else { GPU_PREFETCH };
        if not_read { 0 } else { self.prefetch.unwrap_or(default) }
    }

    /// Checks that the options can be used.
    ///
    /// # Errors
    /// When no checkpoint would be kept.
    pub fn validate(&self) -> Result<()> {
        if self.keep_checkpoints == 0 {
            return Err(Error::Invalid("training: at least one checkpoint must be kept".into()));
        }
        Ok(())
    }
}
