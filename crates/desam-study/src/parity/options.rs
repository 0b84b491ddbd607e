//! Options of a parity check.

use candle_core::Device;
use desam_core::Precision;

/// Device and precision of a parity check.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ParityOptions {
    /// The device. A GPU has the same limits as the CPU.
    pub device: Device,
    /// Compute precision of the model. bf16 has wider limits, derived from the model's size, and fewer
    /// stages; the omitted ones are listed as skipped.
    pub precision: Precision,
}

impl ParityOptions {
    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// Sets [`precision`](Self::precision).
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }
}

impl Default for ParityOptions {
    /// The CPU, in f32.
    fn default() -> Self {
        Self { device: Device::Cpu, precision: Precision::F32 }
    }
}
