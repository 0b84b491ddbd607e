//! Instance norm without affine parameters, alone or with the LeakyReLU that follows it.

pub(crate) mod cpu;
mod moments;

pub(crate) use moments::{Moments, Part};

use super::pointwise;
use super::vector::build;
use crate::ops::matmul::dense;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor};

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
    // The gradient's kernel goes back through the rectifier, which a slope of 0 does not allow.
    #[cfg(feature = "kernels")]
    if slope > 0.0 && crate::gpu::uses_kernels(&[x]) {
        let op = desam_kernels::ops::instance_norm::InstanceNorm::new(eps, slope as f32);
        return crate::gpu::apply(op, &[x]);
    }
    if !x.device().is_cpu() || x.dtype() != DType::F32 {
        return plain(x, eps, slope);
    }
    x.contiguous()?.apply_op1(Forward { eps, slope: slope as f32 })
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
    slope: f32,
}

impl CustomOp1 for Forward {
    fn name(&self) -> &'static str {
        "desam-instance-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, _, height, width) = layout.shape().dims4()?;
        let (x, plane) = (dense::<f32>((x, layout))?, height * width);
        let y = build(x.len(), plane, |index, y| {
            let x = &x[index * plane..(index + 1) * plane];
            cpu::normalise(x, y, Moments::of(x, self.eps), self.slope);
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let backward = Backward { eps: self.eps, slope: self.slope };
        Ok(Some(x.detach().apply_op2_no_bwd(&grad.contiguous()?, &backward)?))
    }
}

/// `(x, ∂y) → ∂x`.
struct Backward {
    eps: f64,
    slope: f32,
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
        let (_, _, height, width) = xl.shape().dims4()?;
        let (x, plane) = (dense::<f32>((x, xl))?, height * width);
        let grad = dense::<f32>((grad, gl))?;
        let dx = build(x.len(), plane, |index, h| {
            let at = index * plane..(index + 1) * plane;
            let moments = Moments::of(&x[at.clone()], self.eps);
            let inputs = [&x[at.clone()], &grad[at.clone()]];
            cpu::before_rectifier(inputs, h, moments.mean, [1.0, self.slope]);
            cpu::before_norm(&x[at], h, moments);
            Ok(())
        })?;
        Ok((CpuStorage::F32(dx), xl.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "emulation")]
    use crate::ops::gradcheck::compare_kernels;
    use crate::ops::gradcheck::{check, compare, max_diff, random, same_bits};

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
    fn agrees_with_the_definition_for_odd_sizes_with_its_gradient() {
        for (seed, shape) in
            [[2, 3, 5, 7], [9, 2, 1, 33], [1, 4, 64, 63], [1, 1, 90, 91]].into_iter().enumerate()
        {
            let x = (random(seed as u64, &shape) * 3.0).unwrap();
            for slope in [0.01, 1.0] {
                compare(
                    std::slice::from_ref(&x),
                    |t| instance_norm_leaky(&t[0], 1e-5, slope),
                    |t| plain(&t[0], 1e-5, slope),
                );
            }
        }
    }

    #[test]
    fn takes_turned_empty_and_one_pixel_input() {
        let x = random(3, &[2, 3, 5, 7]).to_dtype(DType::F32).unwrap();
        let turned = x.transpose(2, 3).unwrap();
        let expected = plain(&turned, 1e-5, 0.01).unwrap();
        let found = instance_norm_leaky(&turned, 1e-5, 0.01).unwrap();
        assert!(max_diff(&found, &expected) < 2e-5);
        let none = instance_norm(&x.narrow(0, 0, 0).unwrap(), 1e-5).unwrap();
        assert_eq!(none.dims(), &[0, 3, 5, 7]);
        let pixel = x.narrow(2, 0, 1).unwrap().narrow(3, 0, 1).unwrap();
        let found = instance_norm(&pixel, 1e-5).unwrap();
        assert_eq!(max_diff(&found, &found.zeros_like().unwrap()), 0.0);
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_agree_with_the_definition() {
        // Planes of one part and of several, of whole runs of 8 numbers and of others. Numbers reach
        // 3 to 4 where a bf16 is 2^-7 away from the next, half of which rounding may cost: 2^-8 of
        // the largest. The gradient reads such numbers, and is rounded in its turn.
        for (dtype, limit) in [(DType::F32, 2e-5), (DType::BF16, 1e-2), (DType::F16, 1.3e-3)] {
            for (seed, shape) in
                [[2, 3, 5, 7], [3, 2, 8, 9], [1, 2, 64, 80], [1, 1, 93, 91]].into_iter().enumerate()
            {
                let x = ((random(seed as u64, &shape) * 3.0).unwrap() + 0.5).unwrap();
                for slope in [0.25, 1.0] {
                    compare_kernels(
                        std::slice::from_ref(&x),
                        |t| instance_norm_leaky(&t[0], 1e-5, slope),
                        |t| plain(&t[0], 1e-5, slope),
                        (dtype, limit, true),
                    );
                }
            }
        }
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_take_turned_input_parts_of_tensors_and_nothing() {
        let same = |op: fn(&Tensor) -> Result<Tensor>| {
            compare_kernels(
                &[(random(3, &[2, 4, 8, 6]) * 3.0).unwrap()],
                |t| instance_norm_leaky(&op(&t[0])?, 1e-5, 0.01),
                |t| plain(&op(&t[0])?, 1e-5, 0.01),
                (DType::F32, 2e-5, true),
            );
        };
        same(|x| x.transpose(2, 3));
        same(|x| x.narrow(1, 1, 2));
        // Begins at a number that 16 bytes at a time cannot.
        same(|x| x.flatten_all()?.narrow(0, 3, 64)?.reshape((1, 2, 4, 8)));
        let x = candle_core::Var::zeros((0, 3, 5, 7), DType::F32, &candle_core::Device::Cpu);
        let x = x.unwrap();
        crate::gpu::emulated(|| {
            let y = instance_norm(&x, 1e-5)?;
            let dx = y.sum_all()?.backward()?.get(&x).unwrap().clone();
            assert_eq!((y.dims(), dx.dims()), (x.dims(), x.dims()));
            Ok(vec![])
        })
        .unwrap();
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_join_a_plane_of_many_chunks_from_32_parts() {
        // 33 chunks of 4096 numbers, so two a part; far from zero, as sums of squares would not bear.
        let x = ((random(6, &[1, 1, 33, 4096]) * 0.5).unwrap() + 20.0).unwrap();
        compare_kernels(
            &[x],
            |t| instance_norm(&t[0], 1e-5),
            |t| plain(&t[0], 1e-5, 1.0),
            (DType::F32, 2e-5, true),
        );
    }

    #[test]
    fn gradients() {
        check(&[random(2, &[1, 2, 3, 3])], |t| instance_norm(&t[0], 1e-5));
        check(&[random(4, &[1, 2, 3, 3])], |t| plain(&t[0], 1e-5, 0.01));
    }

    #[test]
    fn the_bits_do_not_depend_on_the_threads() {
        same_bits(&[random(5, &[3, 7, 20, 21])], |t| instance_norm_leaky(&t[0], 1e-5, 0.01));
    }
}
