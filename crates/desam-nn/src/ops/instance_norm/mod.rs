//! Instance norm without affine parameters, alone or with the LeakyReLU that follows it.

mod cpu;

use super::pointwise;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor};
use cpu::Planes;

/// Normalises every channel of every image of `x [B, C, H, W]` to mean 0 and variance 1 (biased),
/// with `eps` under the root. No affine parameters, no running statistics (facts of PIMM's blocks).
///
/// # Errors
/// When `x` is not four-dimensional or a tensor operation fails.
pub fn instance_norm(x: &Tensor, eps: f64) -> Result<Tensor> {
    instance_norm_leaky(x, eps, 1.0)
}

/// The same, what is negative then multiplied by `slope`: one pass where the two ops take many.
///
/// # Errors
/// When `x` is not four-dimensional or a tensor operation fails.
pub fn instance_norm_leaky(x: &Tensor, eps: f64, slope: f64) -> Result<Tensor> {
    x.dims4()?;
    if !x.device().is_cpu() || !matches!(x.dtype(), DType::F32 | DType::F64) {
        return plain(x, eps, slope);
    }
    x.contiguous()?.apply_op1(Forward { eps, slope })
}

/// The definition, in elementary ops: the reference.
///
/// # Errors
/// When `x` is not four-dimensional or a tensor operation fails.
pub fn plain(x: &Tensor, eps: f64, slope: f64) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let flat = x.reshape((b, c, h * w))?;
    let centred = flat.broadcast_sub(&flat.mean_keepdim(2)?)?;
    let variance = centred.sqr()?.mean_keepdim(2)?;
    let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?.reshape((b, c, h, w))?;
    pointwise::plain_leaky_relu(&normal, slope)
}

/// `x → y`.
struct Forward {
    eps: f64,
    slope: f64,
}

impl CustomOp1 for Forward {
    fn name(&self) -> &'static str {
        "desam-instance-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, _, h, w) = layout.shape().dims4()?;
        let planes = Planes { pixels: h * w, eps: self.eps, slope: self.slope };
        Ok((planes.forward((x, layout))?, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let backward = Backward { eps: self.eps, slope: self.slope };
        Ok(Some(x.detach().apply_op2_no_bwd(&grad.contiguous()?, &backward)?))
    }
}

/// `(x, ∂y) → ∂x`.
struct Backward {
    eps: f64,
    slope: f64,
}

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "desam-instance-norm-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        grad: &CpuStorage,
        gl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, _, h, w) = xl.shape().dims4()?;
        let planes = Planes { pixels: h * w, eps: self.eps, slope: self.slope };
        Ok((planes.backward((x, xl), (grad, gl))?, xl.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{check, max_diff, random};

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
        let y: Vec<f32> =
            instance_norm(&x, 1e-5).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert!(y.iter().all(|v| *v == 0.0));
    }

    #[test]
    fn agrees_with_the_definition_for_odd_sizes_and_turned_input() {
        for (seed, shape) in
            [[1, 1, 1, 1], [2, 3, 5, 7], [9, 2, 1, 33], [1, 4, 64, 63], [0, 2, 3, 3]]
                .into_iter()
                .enumerate()
        {
            let x = (random(seed as u64, &shape) * 3.0).unwrap();
            let expected = plain(&x, 1e-5, 0.01).unwrap();
            assert!(max_diff(&instance_norm_leaky(&x, 1e-5, 0.01).unwrap(), &expected) < 1e-12);
            let single = x.to_dtype(DType::F32).unwrap();
            let ours = instance_norm_leaky(&single, 1e-5, 0.01).unwrap();
            assert!(max_diff(&ours, &expected) < 2e-5, "{shape:?}");
            let turned = x.transpose(2, 3).unwrap();
            let expected = expected.transpose(2, 3).unwrap();
            assert!(
                max_diff(&instance_norm_leaky(&turned, 1e-5, 0.01).unwrap(), &expected) < 1e-12
            );
        }
    }

    #[test]
    fn gradients() {
        check(&[random(2, &[1, 2, 3, 3])], |t| instance_norm(&t[0], 1e-5));
        check(&[random(3, &[2, 2, 3, 5])], |t| instance_norm_leaky(&t[0], 1e-5, 0.01));
        check(&[random(4, &[1, 2, 3, 3])], |t| plain(&t[0], 1e-5, 0.01));
    }
}
