//! How a run is kept while it goes.

use crate::commands::{one_of, whole};
use clap::Args;
use desam_study::train::{FeatureResidency, RunOptions};
use std::time::{Duration, SystemTime};

/// How the run is kept; nothing of it changes the model.
#[derive(Debug, Args)]
pub(super) struct Keeping {
    /// Continue the run in RUN; where there is none, begin it. Without --epochs it keeps the number
    /// that it has
    #[arg(long)]
    pub(super) resume: bool,

    /// Minutes between checkpoints; 0: at the ends of epochs alone, where there is always one
    #[arg(long, value_name = "N", default_value = "10", allow_negative_numbers = true,
        value_parser = minutes)]
    checkpoint_minutes: Duration,

    /// Checkpoints to keep, the newest ones
    #[arg(long, value_name = "K", default_value = "2", allow_negative_numbers = true,
        value_parser = whole(1..=10_000))]
    keep_checkpoints: usize,

    /// Write event files into RUN/tensorboard, for `tensorboard --logdir RUN`
    #[arg(long)]
    tensorboard: bool,

    /// On a GPU, where features are between steps: on it (yes), in CACHE, the next batches being read
    /// while a step computes (no), or on it where they fit beside a step (auto)
    #[arg(long, value_name = "WHETHER", default_value = "auto",
        value_parser = one_of::<FeatureResidency>(&["auto", "yes", "no"]))]
    keep_features: FeatureResidency,
}

impl Keeping {
    pub(super) fn options(&self) -> RunOptions<'static> {
        let every = self.checkpoint_minutes;
        RunOptions::default()
            .with_resume(self.resume)
            .with_checkpoint_every((!every.is_zero()).then_some(every))
            .with_keep_checkpoints(self.keep_checkpoints)
            .with_tensorboard(self.tensorboard)
            .with_feature_residency(self.keep_features)
            .with_clock(|| {
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
            })
    }
}

/// Minutes, at least 0, as a time.
fn minutes(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<f64>().ok().filter(|n| *n <= 1e6);
    let time = parsed.and_then(|n| Duration::try_from_secs_f64(60.0 * n).ok());
    time.ok_or_else(|| "expected a number of minutes from 0 to 1000000".into())
}
