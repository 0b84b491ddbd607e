//! What the model's large products are computed in.

use crate::commands::values::enum_values;
use clap::Args;
use desam::Precision;

/// The flag of commands that run a frozen model.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::commands) struct PrecisionFlag {
    /// What to compute the model's large products in: f32; or bf16, on a GPU alone, which its tensor
    /// cores are made for and which rounds to 8 bits
    #[arg(long, value_name = "PRECISION", default_value = "f32",
        value_parser = enum_values::<Precision>())]
    pub(in crate::commands) precision: Precision,
}
