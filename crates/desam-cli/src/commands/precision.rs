//! What the model's large products are computed in.

use super::one_of;
use clap::Args;
use desam::Precision;

/// The flag of commands that run a frozen model.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct PrecisionFlag {
    /// What to compute the model's large products in: f32; or bf16, on a GPU alone, which its tensor
    /// cores are made for and which rounds to 8 bits
    #[arg(long, value_name = "PRECISION", default_value = "f32",
        value_parser = one_of::<Precision>(&["f32", "bf16"]))]
    pub(super) precision: Precision,
}
