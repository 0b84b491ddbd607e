//! Compute precision of the frozen model.

use crate::commands::values::enum_values;
use crate::usage::invalid;
use clap::Args;
use desam::candle::Device;
use desam::{Compute, Precision};

/// `--precision` of commands that run a model without training it.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::commands) struct PrecisionFlag {
    /// Compute precision of matrix multiplications and convolutions. bf16 uses the tensor cores of a
    /// GPU and keeps 8 significant bits; it is not available on the CPU
    #[arg(long, value_name = "PRECISION", default_value = "f32",
        value_parser = enum_values::<Precision>())]
    precision: Precision,
}

impl PrecisionFlag {
    /// The device with this precision; a usage error if it does not support it.
    pub(in crate::commands) fn on(self, device: &Device) -> anyhow::Result<Compute> {
        Compute::new(device.clone()).with_precision(self.precision).map_err(invalid)
    }
}
