//! Transposed convolution with a 2×2 kernel and stride 2: every pixel becomes a 2×2 block, blocks
//! do not overlap, so it is one matrix product whose rows are the four places of a block.

mod cpu;

use crate::gradients::hand_over;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

/// `x [B, I, H, W]`, `weight [I, O, 2, 2]` → `[B, O, 2H, 2W]`, no bias.
///
/// # Errors
/// When the kernel is not 2×2 or the channels differ.
pub fn conv_transpose2x2(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (_, i, _, _) = x.dims4()?;
    let (wi, _, kh, kw) = weight.dims4()?;
    if (wi, kh, kw) != (i, 2, 2) {
        candle_core::bail!("transposed convolution: kernel {:?} on {:?}", weight.dims(), x.dims());
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
