//! The optimizer: weight decay, gradient clipping, exponential moving average, precision.

use crate::commands::values::{MAX_WEIGHT, enum_values, fraction, non_negative, positive};
use clap::Args;
use desam::Precision;
use desam_study::train::TrainConfig;

/// Flags of the optimizer, which the presets leave at their defaults.
#[derive(Debug, Args)]
#[command(next_help_heading = "Optimizer")]
pub(super) struct OptimizerFlags {
    /// Weight decay, decoupled from the gradient as in AdamW, 0 to 1000: each step multiplies every
    /// parameter by 1 - lr * DECAY [default: 0]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true,
        value_parser = non_negative(1000.0))]
    weight_decay: Option<f64>,

    /// Gradient clipping: maximum norm over all parameters, above 0 and at most 1000000 [default: no
    /// clipping]
    #[arg(long, value_name = "NORM", allow_negative_numbers = true,
        value_parser = positive(MAX_WEIGHT))]
    clip_norm: Option<f64>,

    /// Decay of an exponential moving average of the parameters, above 0 and below 1, such as 0.999;
    /// validation and the saved model use the average [default: no average]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true, value_parser = fraction)]
    ema: Option<f64>,

    /// Compute precision of training. bf16 (GPU only) keeps 8 significant bits of features and
    /// activations, like PyTorch's autocast; parameters, their updates and the loss stay f32
    #[arg(long, value_name = "TYPE", default_value = "f32",
        value_parser = enum_values::<Precision>())]
    precision: Precision,
}

impl OptimizerFlags {
    /// Applies the flags to `config`.
    pub(super) fn apply(&self, config: &mut TrainConfig) {
        config.adam.weight_decay = self.weight_decay.unwrap_or(config.adam.weight_decay);
        config.clip_norm = self.clip_norm.or(config.clip_norm);
        config.ema = self.ema.or(config.ema);
        config.precision = self.precision;
    }
}
