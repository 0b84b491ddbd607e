//! Activations.

mod leaky_relu;

use candle_core::{DType, Result, Tensor};
use leaky_relu::LeakyRelu;

/// `x` where positive, `slope · x` elsewhere.
///
/// # Errors
/// When a tensor operation fails.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    if !x.device().is_cpu() || !matches!(x.dtype(), DType::F32 | DType::F64) {
        return plain_leaky_relu(x, slope);
    }
    x.contiguous()?.apply_op1(LeakyRelu { slope })
}

/// The same in elementary ops: the reference.
///
/// # Errors
/// When a tensor operation fails.
pub fn plain_leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    // max(x, 0) + slope · min(x, 0), from one rectifier: min(x, 0) = x - max(x, 0).
    x.relu()?.affine(1.0 - slope, 0.0)? + x.affine(slope, 0.0)?
}

/// `x · Φ(x)` with the exact error function, as SAM's `nn.GELU`.
///
/// # Errors
/// When a tensor operation fails.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{check, max_diff, random};
    use candle_core::Device;

    #[test]
    fn leaky_relu_by_hand() {
        let x = Tensor::new(&[-2.0f64, -0.5, 0.0, 0.5, 3.0], &Device::Cpu).unwrap();
        let expected = Tensor::new(&[-0.02f64, -0.005, 0.0, 0.5, 3.0], &Device::Cpu).unwrap();
        assert!(max_diff(&leaky_relu(&x, 0.01).unwrap(), &expected) < 1e-15);
    }

    #[test]
    fn the_one_pass_is_the_elementary_ops() {
        let x = random(7, &[3, 5, 11]);
        for x in [x.clone(), x.transpose(0, 2).unwrap(), x.narrow(0, 0, 0).unwrap()] {
            let plain = plain_leaky_relu(&x, 0.2).unwrap();
            assert!(max_diff(&leaky_relu(&x, 0.2).unwrap(), &plain) < 1e-15);
        }
    }

    #[test]
    fn gradients() {
        check(&[random(1, &[3, 4])], |t| plain_leaky_relu(&t[0], 0.01));
        check(&[random(1, &[3, 4])], |t| leaky_relu(&t[0], 0.01));
        check(&[random(2, &[3, 4])], |t| gelu(&t[0]));
    }
}
