//! Where parity is computed.

use candle_core::Device;
use desam_core::Precision;

/// Where the stages run, and in what.
#[derive(Debug, Clone)]
pub struct ParityOptions {
    /// What computes. A GPU is held to the limits of the CPU.
    pub device: Device,
    /// What the model's large products are computed in. bf16 has wider limits, counted off the model,
    /// and fewer stages; what is left out is among the report's skipped.
    pub precision: Precision,
}

impl Default for ParityOptions {
    /// The CPU, in f32.
    fn default() -> Self {
        Self { device: Device::Cpu, precision: Precision::F32 }
    }
}
