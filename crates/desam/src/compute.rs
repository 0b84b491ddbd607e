//! Compute device and precision of a model.

use crate::{DeviceChoice, Result};
use candle_core::Device;
use desam_core::Precision;

/// Device and precision of a model's computations.
///
/// f32 on the CPU unless said otherwise. The pair is checked when it is built, so
/// every `Compute` is usable.
///
/// ```
/// use desam::{Compute, Precision};
///
/// let cpu = Compute::cpu();
/// assert_eq!(cpu.precision(), Precision::F32);
/// // bf16 needs a GPU.
/// assert!(cpu.with_precision(Precision::Bf16).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct Compute {
    device: Device,
    precision: Precision,
}

impl Default for Compute {
    fn default() -> Self {
        Self::cpu()
    }
}

impl From<Device> for Compute {
    fn from(device: Device) -> Self {
        Self::new(device)
    }
}

impl Compute {
    /// f32 on the CPU.
    pub fn cpu() -> Self {
        Self::new(Device::Cpu)
    }

    /// f32 on `device`.
    pub fn new(device: Device) -> Self {
        Self { device, precision: Precision::F32 }
    }

    /// f32 on the device of a name such as `cuda:0`, which is opened.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) when the device cannot be used.
    pub fn open(choice: DeviceChoice) -> Result<Self> {
        Ok(Self::new(choice.open()?))
    }

    /// The same device with large matrix multiplications in `precision`.
    ///
    /// # Errors
    /// [`Error::Precision`](crate::Error::Precision) for bf16 on a CPU.
    pub fn with_precision(self, precision: Precision) -> Result<Self> {
        precision.check_on(&self.device)?;
        Ok(Self { precision, ..self })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The precision of large matrix multiplications.
    pub fn precision(&self) -> Precision {
        self.precision
    }
}
