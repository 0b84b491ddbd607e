//! Compute precision of the frozen model.

use crate::commands::values::enum_values;
use crate::usage::usage;
use clap::Args;
use desam::Precision;
use desam::candle::Device;

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
    /// The precision; a usage error if the device does not support it.
    pub(in crate::commands) fn on(self, device: &Device) -> anyhow::Result<Precision> {
        self.precision.check_on(device).map_err(usage)?;
        Ok(self.precision)
    }
}
