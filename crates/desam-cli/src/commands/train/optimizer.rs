//! How the decoder is optimised, beyond the presets.

use crate::commands::values::{MAX_WEIGHT, enum_values, fraction, non_negative, positive};
use clap::Args;
use desam::Precision;
use desam::train::TrainConfig;

/// What neither preset changes; without these flags nothing is different from the presets.
#[derive(Debug, Args)]
pub(super) struct OptimizerFlags {
    /// Weight decay, decoupled from the gradient as in AdamW: each step a parameter loses lr times
    /// this of itself [default: 0]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true,
        value_parser = non_negative(1000.0))]
    weight_decay: Option<f64>,

    /// Longest gradient, all parameters together; longer ones are shortened to it [default: none]
    #[arg(long, value_name = "LENGTH", allow_negative_numbers = true,
        value_parser = positive(MAX_WEIGHT))]
    clip_norm: Option<f64>,

    /// Decay of a running mean of the parameters, such as 0.999; validation and the best model take
    /// the mean [default: none]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true, value_parser = fraction)]
    ema: Option<f64>,

    /// What a step computes in; bf16, on a GPU alone, rounds features and activations to 8 bits, as
    /// autocast does in PyTorch: parameters, their changes and the loss stay f32
    #[arg(long, value_name = "TYPE", default_value = "f32",
        value_parser = enum_values::<Precision>())]
    precision: Precision,
}

impl OptimizerFlags {
    pub(super) fn apply(&self, config: &mut TrainConfig) {
        config.adam.weight_decay = self.weight_decay.unwrap_or(config.adam.weight_decay);
        config.clip_norm = self.clip_norm.or(config.clip_norm);
        config.ema = self.ema.or(config.ema);
        config.precision = self.precision;
    }
}
