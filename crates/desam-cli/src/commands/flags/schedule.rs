//! Length, batch size and learning rate of a training.

use crate::commands::values::{BATCH_SIZE, EPOCHS, MAX_LEARNING_RATE, integer, positive};
use clap::Args;

/// Flags of `desam train` and `desam sweep plan`; without them the preset's values hold.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::commands) struct ScheduleFlags {
    /// Number of epochs (passes over the training slices), 1 to 100000 [default: 50]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = integer(EPOCHS))]
    pub(in crate::commands) epochs: Option<usize>,

    /// Batch size in slices, 1 to 4096 [default: 8]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = integer(BATCH_SIZE))]
    pub(in crate::commands) batch: Option<usize>,

    /// Initial learning rate, above 0 and at most 1000; decays as (1 - epoch/epochs)^0.9 [default:
    /// 1e-4]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true,
        value_parser = positive(MAX_LEARNING_RATE))]
    pub(in crate::commands) lr: Option<f64>,
}
