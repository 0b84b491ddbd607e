//! The type that products are computed in.

#[cfg(feature = "tensor")]
use crate::{Error, Result};
#[cfg(feature = "tensor")]
use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What the large products take: weights and activations in f32, or both in bf16 with sums in f32.
/// Norms, positions, biases, losses and parameters that learn are f32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision; the only one on a CPU.
    #[default]
    F32,
    /// Eight significant bits in place of 24, half the memory, and the products that a GPU is fast at.
    Bf16,
}

impl Precision {
    /// The type of the products' inputs.
    #[cfg(feature = "tensor")]
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// Whether this is the usual one; for records that are silent about it then.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// Refuses bf16 on a CPU, where it would be slower than f32 and less exact.
    ///
    /// # Errors
    /// Saying what to do.
    #[cfg(feature = "tensor")]
    pub fn check_on(self, device: &Device) -> Result<()> {
        match self == Self::Bf16 && device.is_cpu() {
            true => Err(Error::Precision(self)),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            other => Err(format!("precision {other:?}: expected f32 or bf16")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways_and_the_cpu_takes_f32_alone() {
        for precision in [Precision::F32, Precision::Bf16] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert!("f16".parse::<Precision>().unwrap_err().contains("f32 or bf16"));
        Precision::F32.check_on(&Device::Cpu).unwrap();
        let error = Precision::Bf16.check_on(&Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("bf16") && error.contains("f32"), "{error}");
    }
}
