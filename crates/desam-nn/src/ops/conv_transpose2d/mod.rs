//! Transposed convolution with a 2×2 kernel and stride 2: every pixel becomes a 2×2 block, blocks
//! do not overlap, so it is one matrix product whose rows are the four places of a block.

mod cpu;

use crate::gradients::hand_over;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

/// `x [B, I, H, W]`, `weight [I, O, 2, 2]` → `[B, O, 2H, 2W]`, no bias. On a GPU the weight may
/// be f32 while `x` is of another type; its gradient is of its own.
///
/// # Errors
/// When the kernel is not 2×2 or the channels differ.
pub fn conv_transpose2x2(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (_, i, _, _) = x.dims4()?;
    let (wi, _, kh, kw) = weight.dims4()?;
    if (wi, kh, kw) != (i, 2, 2) {
        candle_core::bail!("transposed convolution: kernel {:?} on {:?}", weight.dims(), x.dims());
    }
    #[cfg(feature = "kernels")]
    if crate::gpu::uses_kernels(&[x, weight]) {
        let op = desam_kernels::ops::conv_transpose2d::ConvTranspose2x2;
        return crate::gpu::apply(op, &[x, weight]);
    }
    if !x.device().is_cpu() || x.dtype() != DType::F32 || weight.dtype() != DType::F32 {
        return as_product(x, weight);
    }
    x.contiguous()?.apply_op2(&weight.contiguous()?, Forward)
}

/// The product and the rearrangement, in candle's ops: faster than [`plain`] on any device.
fn as_product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (b, i, h, w) = x.dims4()?;
    let o = weight.dim(1)?;
    let kernel = weight.reshape((i, o * 4))?.t()?.contiguous()?;
    let blocks = kernel.broadcast_matmul(&x.reshape((b, i, h * w))?.contiguous()?)?;
    let blocks = blocks.reshape(&[b, o, 2, 2, h, w][..])?;
    blocks.permute(vec![0, 1, 4, 2, 5, 3])?.contiguous()?.reshape((b, o, 2 * h, 2 * w))
}

/// The same by candle's own kernel: the reference.
///
/// # Errors
/// When the channels differ.
pub fn plain(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.conv_transpose2d(weight, 0, 0, 2, 1)
}

/// `(x, weight) → y`.
struct Forward;

impl CustomOp2 for Forward {
    fn name(&self) -> &'static str {
        "desam-conv-transpose2x2"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, _, height, width) = xl.shape().dims4()?;
        let shape = (b, wl.shape().dims4()?.1, 2 * height, 2 * width);
        Ok((CpuStorage::F32(cpu::output((x, xl), (w, wl))?), Shape::from(shape)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let input = match x.track_op() {
            true => Some(grad.apply_op2_no_bwd(&w.detach(), &InputGradient)?),
            false => None,
        };
        let kernel = match w.track_op() {
            true => Some(grad.apply_op2_no_bwd(&x.detach(), &KernelGradient)?),
            false => None,
        };
        Ok((hand_over(x, input), hand_over(w, kernel)))
    }
}

/// `(∂y, weight) → ∂x`.
struct InputGradient;

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "desam-conv-transpose2x2-input-gradient"
    }

    fn cpu_fwd(
        &self,
        grad: &CpuStorage,
        gl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, _, height, width) = gl.shape().dims4()?;
        let shape = (b, wl.shape().dims4()?.0, height / 2, width / 2);
        Ok((CpuStorage::F32(cpu::input_gradient((grad, gl), (w, wl))?), Shape::from(shape)))
    }
}

/// `(∂y, x) → ∂weight`.
struct KernelGradient;

impl CustomOp2 for KernelGradient {
    fn name(&self) -> &'static str {
        "desam-conv-transpose2x2-kernel-gradient"
    }

    fn cpu_fwd(
        &self,
        grad: &CpuStorage,
        gl: &Layout,
        x: &CpuStorage,
        xl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = (xl.shape().dims4()?.1, gl.shape().dims4()?.1, 2, 2);
        Ok((CpuStorage::F32(cpu::kernel_gradient((grad, gl), (x, xl))?), Shape::from(shape)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "emulation")]
    use crate::ops::gradcheck::compare_kernels;
    use crate::ops::gradcheck::{check, compare, max_diff, random, same_bits};

    #[test]
    fn agrees_with_the_plain_path_and_its_gradients() {
        for (seed, (b, i, o, h, w)) in [
            (1, 3, 2, 1, 1),
            (2, 5, 4, 3, 7),
            (9, 1, 3, 2, 5),
            (1, 300, 9, 17, 35),
            (3, 17, 64, 8, 16),
        ]
        .into_iter()
        .enumerate()
        {
            let inputs = [random(seed as u64, &[b, i, h, w]), random(50, &[i, o, 2, 2])];
            compare(&inputs, |t| conv_transpose2x2(&t[0], &t[1]), |t| plain(&t[0], &t[1]));
            let double = conv_transpose2x2(&inputs[0], &inputs[1]).unwrap();
            assert!(max_diff(&double, &plain(&inputs[0], &inputs[1]).unwrap()) < 1e-11);
        }
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_agree_with_the_plain_path_and_its_gradients() {
        // Limits as for convolutions (`conv2d/tests.rs`).
        let limits = [
            (DType::F32, 2e-5),
            (DType::BF16, 1.0 / 256.0 + 2e-5),
            (DType::F16, 2.0 / 2048.0 + 2e-5),
        ];
        for (dtype, limit) in limits {
            for (b, i, o, h, w) in [
                (1, 3, 2, 1, 1),
                (2, 5, 4, 3, 7),
                (3, 1, 3, 2, 5),
                (2, 17, 9, 5, 8),
                (1, 130, 2, 4, 12),
            ] {
                // The CPU's library, which stands for the GPU's, sums f16 in f16 where a matrix has
                // one row.
                if dtype == DType::F16 && i == 1 {
                    continue;
                }
                let inputs = [random(1, &[b, i, h, w]), random(50, &[i, o, 2, 2])];
                compare_kernels(
                    &inputs,
                    |t| conv_transpose2x2(&t[0], &t[1]),
                    |t| plain(&t[0], &t[1]),
                    (dtype, limit, true),
                );
            }
            // Autocast, turned, and one image of two, with a weight that does not begin its storage.
            // Both factors are rounded, and the result.
            let inputs = [random(1, &[2, 3, 4, 5]), random(2, &[4, 2, 2, 2])];
            let part = |t: &[Tensor]| -> Result<[Tensor; 2]> {
                Ok([t[0].narrow(0, 1, 1)?.transpose(2, 3)?, t[1].narrow(0, 1, 3)?])
            };
            compare_kernels(
                &inputs,
                |t| {
                    let [x, w] = part(t)?;
                    conv_transpose2x2(&x.to_dtype(dtype)?, &w)?.to_dtype(DType::F32)
                },
                |t| part(t).and_then(|[x, w]| plain(&x.contiguous()?, &w.contiguous()?)),
                (DType::F32, 3.0 * limit, true),
            );
            let none =
                |t: &[Tensor]| conv_transpose2x2(&t[0].narrow(0, 0, 0)?, &t[1].narrow(0, 0, 3)?);
            let empty = |t: &[Tensor]| Tensor::zeros((0, 2, 8, 10), t[0].dtype(), t[0].device());
            compare_kernels(&inputs, none, empty, (dtype, limit, false));
        }
    }

    #[test]
    fn takes_turned_and_empty_input() {
        let single = |t: Tensor| t.to_dtype(DType::F32).unwrap();
        let (x, w) = (single(random(1, &[2, 3, 4, 5])), single(random(2, &[3, 2, 2, 2])));
        let turned = x.transpose(2, 3).unwrap();
        let expected = plain(&turned.contiguous().unwrap(), &w).unwrap();
        assert!(max_diff(&conv_transpose2x2(&turned, &w).unwrap(), &expected) < 2e-5);
        let none = conv_transpose2x2(&x.narrow(0, 0, 0).unwrap(), &w).unwrap();
        assert_eq!(none.dims(), &[0, 2, 8, 10]);
    }

    #[test]
    fn another_kernel_is_refused() {
        assert!(conv_transpose2x2(&random(1, &[1, 2, 3, 3]), &random(2, &[2, 2, 3, 3])).is_err());
    }

    #[test]
    fn gradients() {
        check(&[random(1, &[2, 2, 2, 3]), random(2, &[2, 3, 2, 2])], |t| {
            conv_transpose2x2(&t[0], &t[1])
        });
    }

    #[test]
    fn the_bits_do_not_depend_on_the_threads() {
        let inputs = [random(1, &[3, 24, 20, 18]), random(2, &[24, 12, 2, 2])];
        same_bits(&inputs, |t| conv_transpose2x2(&t[0], &t[1]));
    }
}
