//! Compute precision for matrix multiplications (mixed precision).

#[cfg(feature = "tensor")]
use crate::{Error, Result};
#[cfg(feature = "tensor")]
use candle_core::{DType, Device};

crate::named! {
    /// Compute precision of the large matrix multiplications: weights and activations in f32, or both
    /// in bf16 with f32 accumulation. Norms, positions, biases, losses and trained parameters are f32
    /// in either.
    #[derive(Default)]
    pub enum Precision: "precision" {
        /// Single precision; the only one on a CPU.
        #[default]
        F32 = "f32",
        /// Eight significant bits instead of 24: half the memory, and the matrix multiplications that
        /// a GPU's tensor cores are built for.
        Bf16 = "bf16",
    }
}

impl Precision {
    /// The type of the multiplications' inputs.
    #[cfg(feature = "tensor")]
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// Whether this is f32, the default; records omit the precision then.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// Refuses bf16 on a CPU, where it would be slower than f32 and less exact.
    ///
    /// # Errors
    /// [`Error::Precision`].
    #[cfg(feature = "tensor")]
    pub fn check_on(self, device: &Device) -> Result<()> {
        if self == Self::Bf16 && device.is_cpu() { Err(Error::Precision(self)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_displayed() {
        for precision in [Precision::F32, Precision::Bf16] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert!("f16".parse::<Precision>().unwrap_err().to_string().contains("f32 or bf16"));
    }

    #[cfg(feature = "tensor")]
    #[test]
    fn the_cpu_computes_in_f32_only() {
        Precision::F32.check_on(&Device::Cpu).unwrap();
        let error = Precision::Bf16.check_on(&Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("bf16") && error.contains("f32"), "{error}");
    }
}
