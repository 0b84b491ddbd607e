//! Instance norm without affine parameters.

use candle_core::{Result, Tensor};

/// Normalises every channel of every image of `x [B, C, H, W]` to mean 0 and variance 1 (biased),
/// with `eps` under the root. No affine parameters, no running statistics (facts of PIMM's blocks).
///
/// # Errors
/// When `x` is not four-dimensional or a tensor operation fails.
pub fn instance_norm(x: &Tensor, eps: f64) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let flat = x.reshape((b, c, h * w))?;
    let centred = flat.broadcast_sub(&flat.mean_keepdim(2)?)?;
    let variance = centred.sqr()?.mean_keepdim(2)?;
    centred
        .broadcast_div(&(variance + eps)?.sqrt()?)?
        .reshape((b, c, h, w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{check, random};

    #[test]
    fn every_channel_ends_with_mean_zero_and_variance_one() {
        let y = instance_norm(&(random(1, &[2, 3, 5, 7]) * 4.0).unwrap(), 1e-12).unwrap();
        let flat = y.reshape((6, 35)).unwrap();
        for row in flat.to_vec2::<f64>().unwrap() {
            let mean = row.iter().sum::<f64>() / 35.0;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 35.0;
            assert!(mean.abs() < 1e-12 && (variance - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_constant_channel_becomes_zero_and_not_nan() {
        let x = Tensor::full(3.5f32, (1, 2, 4, 4), &candle_core::Device::Cpu).unwrap();
        let y: Vec<f32> = instance_norm(&x, 1e-5)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        assert!(y.iter().all(|v| *v == 0.0));
    }

    #[test]
    fn gradient() {
        check(&[random(2, &[1, 2, 3, 3])], |t| instance_norm(&t[0], 1e-5));
    }
}
