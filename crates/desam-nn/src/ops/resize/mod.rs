//! Bilinear resizing of images.

mod cpu;

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, bail};
use cpu::{Axis, Planes};

/// `x [B, C, H, W]` → `[B, C, height, width]`, bilinear, as PyTorch's `F.interpolate` with
/// `align_corners=False` (half-pixel centres, no smoothing where it shrinks).
///
/// f32 and f64 on the CPU, and f32, bf16 and f16 on a GPU have kernels of our own, forward and
/// backward; all else goes by [`plain`].
///
/// # Errors
/// When `x` is not four-dimensional or a side is 0.
pub fn bilinear(x: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    Planes::new(x.shape(), size)?;
    #[cfg(feature = "kernels")]
    if crate::gpu::uses_kernels(&[x]) {
        return crate::gpu::apply(desam_kernels::ops::resize::Bilinear { size }, &[x]);
    }
    if x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64) {
        x.contiguous()?.apply_op1(Bilinear { size })
    } else {
        plain(x, size)
    }
}

/// The definition: a product with a matrix of weights along each axis.
///
/// # Errors
/// When `x` is not four-dimensional or a side is 0.
pub fn plain(x: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    Planes::new(x.shape(), (height, width))?;
    let (b, c, h, w) = x.dims4()?;
    let matrix = |from: usize, to: usize| -> Result<Tensor> {
        let numbers = Axis::<f64>::new(from, to).matrix(from);
        Tensor::from_vec(numbers, (to, from), &Device::Cpu)?
            .to_dtype(x.dtype())?
            .to_device(x.device())
    };
    let wide = x.reshape((b * c * h, w))?.matmul(&matrix(w, width)?.t()?)?;
    let wide = wide.reshape((b * c, h, width))?;
    let high = matrix(h, height)?.broadcast_left(b * c)?.contiguous()?.matmul(&wide)?;
    high.reshape((b, c, height, width))
}

/// `x → y`.
struct Bilinear {
    size: (usize, usize),
}

impl CustomOp1 for Bilinear {
    fn name(&self) -> &'static str {
        "desam-bilinear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let planes = Planes::new(layout.shape(), self.size)?;
        let (b, c, _, _) = layout.shape().dims4()?;
        Ok((planes.forward((x, layout))?, Shape::from((b, c, self.size.0, self.size.1))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, h, w) = x.dims4()?;
        let gradient = Gradient { from: (h, w) };
        Ok(Some(grad.detach().contiguous()?.apply_op1_no_bwd(&gradient)?))
    }
}

/// `∂y → ∂x`.
struct Gradient {
    from: (usize, usize),
}

impl CustomOp1 for Gradient {
    fn name(&self) -> &'static str {
        "desam-bilinear-gradient"
    }

    fn cpu_fwd(&self, grad: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (b, c, height, width) = layout.shape().dims4()?;
        let (h, w) = self.from;
        let shape = Shape::from((b, c, h, w));
        let planes = Planes::new(&shape, (height, width))?;
        Ok((planes.backward((grad, layout))?, shape))
    }
}

impl Planes {
    fn new(shape: &Shape, to: (usize, usize)) -> Result<Self> {
        let (b, c, h, w) = shape.dims4()?;
        if [h, w, to.0, to.1].contains(&0) {
            bail!("bilinear: {h} × {w} to {} × {}: no side may be 0", to.0, to.1);
        }
        Ok(Self { count: b * c, from: (h, w), to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "emulation")]
    use crate::ops::gradcheck::compare_kernels;
    use crate::ops::gradcheck::{check, compare, max_diff, random, same_bits};

    #[test]
    fn by_hand() {
        // PyTorch's documentation of Upsample(scale_factor=2, mode='bilinear') shows this very
        // example: [[1, 2], [3, 4]] to 4 × 4.
        let x = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let y = bilinear(&x.reshape((1, 1, 2, 2)).unwrap(), (4, 4)).unwrap();
        let expected = [
            1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3.0, 3.25, 3.75, 4.0,
        ];
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
        // Arithmetic: 3 to 2 reads at 0.25 and 1.75.
        let x = Tensor::new(&[0f32, 4.0, 8.0], &Device::Cpu).unwrap();
        let y = bilinear(&x.reshape((1, 1, 1, 3)).unwrap(), (1, 2)).unwrap();
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [1.0, 7.0]);
    }

    #[test]
    fn agrees_with_the_definition_forward_and_backward() {
        for (shape, size) in [
            ([1usize, 1, 1, 1], (1usize, 1usize)),
            ([1, 1, 1, 1], (5, 3)),
            ([2, 3, 5, 7], (10, 14)),
            ([2, 3, 5, 7], (5, 7)),
            ([9, 1, 8, 9], (3, 4)),
            ([1, 2, 16, 16], (64, 50)),
            ([3, 1, 40, 3], (7, 90)),
            ([1, 1, 33, 70], (140, 31)),
        ] {
            let x = [random(4, &shape)];
            compare(&x, |t| bilinear(&t[0], size), |t| plain(&t[0], size));
            let (ours, plain) = (bilinear(&x[0], size).unwrap(), plain(&x[0], size).unwrap());
            assert!(max_diff(&ours, &plain) < 1e-12);
        }
        let turned = |t: &[Tensor]| t[0].transpose(1, 3);
        let x = [random(5, &[2, 6, 5, 3])];
        compare(&x, |t| bilinear(&turned(t)?, (9, 9)), |t| plain(&turned(t)?, (9, 9)));
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_agree_with_the_definition_forward_and_backward() {
        // The output is rounded once, by 2^-9 of a number in bf16 and 2^-12 in f16; the gradient is
        // made of numbers rounded like that, some of which cancel.
        for (dtype, limit) in [(DType::F32, 2e-5), (DType::BF16, 1e-2), (DType::F16, 1.3e-3)] {
            for (shape, size) in [
                ([1usize, 1, 1, 1], (5usize, 3usize)),
                ([2, 3, 5, 7], (10, 14)),
                ([3, 1, 5, 7], (5, 7)),
                ([2, 2, 8, 9], (3, 4)),
                ([1, 1, 16, 16], (64, 50)),
                ([1, 1, 33, 7], (140, 5)),
                ([1, 1, 2, 90], (1, 1)),
            ] {
                compare_kernels(
                    &[random(4, &shape)],
                    |t| bilinear(&t[0], size),
                    |t| plain(&t[0], size),
                    (dtype, limit, true),
                );
            }
        }
        let turned = |t: &[Tensor]| t[0].narrow(1, 1, 4)?.transpose(1, 3);
        compare_kernels(
            &[random(5, &[2, 6, 5, 3])],
            |t| bilinear(&turned(t)?, (9, 9)),
            |t| plain(&turned(t)?, (9, 9)),
            (DType::F32, 2e-5, true),
        );
        crate::gpu::emulated(|| {
            let zeros = Tensor::zeros((0, 3, 4, 4), DType::F32, &Device::Cpu)?;
            assert_eq!(bilinear(&zeros, (8, 8))?.dims(), &[0, 3, 8, 8]);
            Ok(vec![])
        })
        .unwrap();
    }

    #[test]
    fn nothing_and_sides_of_nothing() {
        let zeros = |shape: [usize; 4]| Tensor::zeros(&shape, DType::F32, &Device::Cpu).unwrap();
        assert_eq!(bilinear(&zeros([0, 3, 4, 4]), (8, 8)).unwrap().dims(), &[0, 3, 8, 8]);
        assert!(bilinear(&zeros([1, 3, 0, 4]), (8, 8)).is_err());
        assert!(bilinear(&zeros([1, 3, 4, 4]), (8, 0)).is_err());
        assert!(bilinear(&zeros([1, 3, 4, 4]).squeeze(0).unwrap(), (8, 8)).is_err());
    }

    #[test]
    fn the_bits_do_not_depend_on_the_threads() {
        same_bits(&[random(6, &[2, 3, 65, 64])], |t| bilinear(&t[0], (130, 200)));
    }

    #[test]
    fn gradients() {
        for size in [(6, 7), (2, 3), (3, 4)] {
            check(&[random(7, &[2, 1, 3, 4])], |t| bilinear(&t[0], size));
            check(&[random(7, &[2, 1, 3, 4])], |t| plain(&t[0], size));
        }
    }
}
