//! Resuming, checkpoints, TensorBoard and feature residency.

use crate::commands::values::{enum_values, integer};
use clap::Args;
use desam_study::train::{FeatureResidency, RunOptions};
use std::time::{Duration, SystemTime};

/// Flags that do not influence the trained model.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub(super) struct RunFlags {
    /// Resume the run in RUN, or start it if there is none. Without --epochs the number of epochs of
    /// the run is kept
    #[arg(long)]
    pub(super) resume: bool,

    /// Minutes between checkpoints, 0 to 1000000. 0: only at the end of each epoch, where there is
    /// always one
    #[arg(long, value_name = "N", default_value = "10", allow_negative_numbers = true,
        value_parser = minutes)]
    checkpoint_minutes: Duration,

    /// Number of latest checkpoints to keep, 1 to 10000
    #[arg(long, value_name = "K", default_value = "2", allow_negative_numbers = true,
        value_parser = integer(1..=10_000))]
    keep_checkpoints: usize,

    /// Write TensorBoard event files to RUN/tensorboard; view them with `tensorboard --logdir RUN`
    #[arg(long)]
    tensorboard: bool,

    /// Keep the features in GPU memory during training. auto: if they fit. yes: always. no: prefetch
    /// each batch from CACHE. No effect on the CPU, where yes is an error
    #[arg(long, value_name = "auto|yes|no", default_value = "auto",
        value_parser = enum_values::<FeatureResidency>())]
    keep_features: FeatureResidency,
}

impl RunFlags {
    /// The library's options.
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

/// Parser of `--checkpoint-minutes`.
fn minutes(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<f64>().ok().filter(|n| *n <= 1e6);
    let time = parsed.and_then(|n| Duration::try_from_secs_f64(60.0 * n).ok());
    time.ok_or_else(|| "expected a number of minutes from 0 to 1000000".into())
}
