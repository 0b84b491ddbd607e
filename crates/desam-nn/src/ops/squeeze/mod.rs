//! What a squeeze-excitation does to images: means of planes, and planes times a factor each.

use candle_core::{Result, Tensor};
#[cfg(feature = "kernels")]
use desam_kernels::ops::squeeze::{PlaneMean, PlaneScale};

/// The mean of every channel of every image, `x [B, C, H, W]` → `[B, C]`. On a GPU it is f32 whatever
/// `x` is, since its sums are; elsewhere it has `x`'s type.
///
/// # Errors
/// When `x` is not four-dimensional or a tensor operation fails.
pub fn mean(x: &Tensor) -> Result<Tensor> {
    x.dims4()?;
    #[cfg(feature = "kernels")]
    if x.dim(2)? * x.dim(3)? > 0 && crate::gpu::uses_kernels(&[x]) {
        return crate::gpu::apply(PlaneMean, &[x]);
    }
    x.mean((2, 3))
}

/// Every channel of every image times a factor, `x [B, C, H, W]`, `factors [B, C]` of any type that
/// `x` may be cast to; the result has `x`'s type.
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn scale(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    x.dims4()?;
    #[cfg(feature = "kernels")]
    if crate::gpu::uses_kernels(&[x, factors]) {
        let factors = factors.to_dtype(candle_core::DType::F32)?;
        return crate::gpu::apply(PlaneScale, &[x, &factors]);
    }
    plain_scale(x, factors)
}

/// The definition of [`scale`], with a gradient.
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn plain_scale(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    x.broadcast_mul(&factors.to_dtype(x.dtype())?.unsqueeze(2)?.unsqueeze(3)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "emulation")]
    use crate::ops::gradcheck::compare_kernels;
    use crate::ops::gradcheck::{check, random};
    #[cfg(feature = "emulation")]
    use candle_core::{DType, Device, Var};

    /// Planes of one part and of several, of whole runs of 8 numbers and of others.
    #[cfg(feature = "emulation")]
    const SHAPES: [[usize; 4]; 4] = [[2, 3, 5, 7], [3, 2, 8, 9], [1, 2, 64, 80], [1, 1, 93, 91]];

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_agree_with_the_definition() {
        // A product rounds by 2^-9 in bf16 and 2^-12 in f16. A factor's gradient sums products with
        // weights that were rounded like that; of thousands, hardly more than that may be left.
        for (dtype, limit) in [(DType::F32, 2e-5), (DType::BF16, 1e-2), (DType::F16, 1.3e-3)] {
            for (seed, shape) in SHAPES.into_iter().enumerate() {
                let x = (random(seed as u64, &shape) + 2.0).unwrap();
                let factors = random(9, &shape[..2]);
                let precise = (dtype, limit, dtype == DType::F32 || shape[2] < 10);
                compare_kernels(
                    std::slice::from_ref(&x),
                    |t| mean(&t[0]),
                    |t| t[0].mean((2, 3)),
                    precise,
                );
                let both = [x, factors];
                compare_kernels(
                    &both,
                    |t| scale(&t[0], &t[1]),
                    |t| plain_scale(&t[0], &t[1]),
                    precise,
                );
            }
        }
        let turned = [(random(4, &[2, 3, 4, 8]) + 1.0).unwrap(), random(5, &[3, 2])];
        let parts =
            |t: &[Tensor]| Ok((t[0].narrow(1, 1, 2)?.transpose(2, 3)?, t[1].narrow(0, 1, 2)?));
        compare_kernels(
            &turned,
            |t| parts(t).and_then(|(x, f)| scale(&x, &(f + mean(&x)?)?)),
            |t| parts(t).and_then(|(x, f)| plain_scale(&x, &(f + x.mean((2, 3))?)?)),
            (DType::F32, 2e-5, true),
        );
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_take_nothing_and_refuse_what_does_not_fit() {
        crate::gpu::emulated(|| {
            let none = Var::zeros((0, 3, 4, 4), DType::F32, &Device::Cpu)?;
            let y = scale(&none, &mean(&none)?)?;
            assert_eq!(y.dims(), &[0, 3, 4, 4]);
            assert_eq!(y.sum_all()?.backward()?.get(&none).unwrap().dims(), y.dims());
            let x = Tensor::zeros((1, 3, 4, 4), DType::BF16, &Device::Cpu)?;
            assert!(scale(&x, &mean(&x)?.narrow(1, 0, 2)?).is_err());
            assert!(mean(&x.squeeze(0)?).is_err());
            assert_eq!(
                (mean(&x)?.dtype(), scale(&x, &mean(&x)?)?.dtype()),
                (DType::F32, DType::BF16)
            );
            Ok(vec![])
        })
        .unwrap();
    }

    #[test]
    fn gradients() {
        let inputs = [random(1, &[2, 2, 2, 3]), random(2, &[2, 2])];
        check(&inputs, |t| scale(&t[0], &(&t[1] + mean(&t[0])?)?));
    }
}
