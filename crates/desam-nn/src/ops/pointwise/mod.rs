//! Activations, and a sum with what is the same to all.

mod added;
mod cpu;

use crate::gpu::{Backend, select_backend};
pub use added::added_to_all;
use candle_core::{Result, Tensor};
pub(crate) use cpu::{Gelu, Relu, backward};
use cpu::{LeakyRelu, Pointwise};
#[cfg(feature = "kernels")]
use desam_kernels::ops::pointwise::PointwiseActivation as Kernel;

/// `x` where positive, 0 elsewhere; at 0 the gradient is 0, as PyTorch's.
///
/// # Errors
/// When a tensor operation fails.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "kernels")]
    if let Some(y) = by_kernels(x, Kernel::Relu)? {
        return Ok(y);
    }
    apply(x, Relu, Tensor::relu)
}

/// `x` where positive, `slope · x` elsewhere.
///
/// # Errors
/// When a tensor operation fails.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    #[cfg(feature = "kernels")]
    if let Some(y) = by_kernels(x, Kernel::LeakyRelu(slope as f32))? {
        return Ok(y);
    }
    apply(x, LeakyRelu(slope as f32), |x| plain_leaky_relu(x, slope))
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
    #[cfg(feature = "kernels")]
    if let Some(y) = by_kernels(x, Kernel::Gelu)? {
        return Ok(y);
    }
    apply(x, Gelu, plain_gelu)
}

/// The same by candle's scalar kernel: the reference.
///
/// # Errors
/// When a tensor operation fails.
pub fn plain_gelu(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}

/// One pass by a kernel, where `x` is on a GPU.
#[cfg(feature = "kernels")]
fn by_kernels(x: &Tensor, activation: Kernel) -> Result<Option<Tensor>> {
    if !crate::gpu::uses_kernels(&[x]) {
        return Ok(None);
    }
    let op = desam_kernels::ops::pointwise::Pointwise(activation);
    crate::gpu::apply(op, &[x]).map(Some)
}

/// One pass for f32 on the CPU, the elementary ops elsewhere.
fn apply(
    x: &Tensor,
    activation: impl cpu::Activation,
    plain: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    match select_backend(&[x]) {
        Backend::Cpu => x.contiguous()?.apply_op1(Pointwise(activation)),
        _ => plain(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "emulation")]
    use crate::ops::gradcheck::compare_kernels;
    use crate::ops::gradcheck::{check, compare, max_diff, random, same_bits};
    #[cfg(feature = "emulation")]
    use candle_core::DType;
    use candle_core::Device;

    #[test]
    fn by_hand() {
        let x = Tensor::new(&[-2.0f32, -0.5, 0.0, 0.5, 3.0], &Device::Cpu).unwrap();
        let expected = Tensor::new(&[-0.02f32, -0.005, 0.0, 0.5, 3.0], &Device::Cpu).unwrap();
        assert!(max_diff(&leaky_relu(&x, 0.01).unwrap(), &expected) < 1e-9);
        let expected = Tensor::new(&[0.0f32, 0.0, 0.0, 0.5, 3.0], &Device::Cpu).unwrap();
        assert_eq!(max_diff(&relu(&x).unwrap(), &expected), 0.0);
        // x · Φ(x) with Φ(-2) = 0.0227501, Φ(0.5) = 0.6914625, Φ(3) = 0.9986501 from tables.
        let expected = [-0.045_500_2f32, -0.154_268_75, 0.0, 0.345_731_25, 2.995_950_3];
        let expected = Tensor::new(&expected, &Device::Cpu).unwrap();
        assert!(max_diff(&gelu(&x).unwrap(), &expected) < 3e-7);
    }

    #[test]
    fn one_pass_agrees_with_the_elementary_ops_in_f64_forward_and_backward() {
        for shape in [&[3usize, 5, 11][..], &[1], &[9, 0, 2], &[2, 8192], &[7, 1, 3001]] {
            let x = [(random(7, shape) * 6.0).unwrap()];
            compare(&x, |t| relu(&t[0]), |t| t[0].relu());
            compare(&x, |t| leaky_relu(&t[0], 0.2), |t| plain_leaky_relu(&t[0], 0.2));
            compare(&x, |t| gelu(&t[0]), |t| plain_gelu(&t[0]));
        }
        let turned = |t: &[Tensor]| gelu(&t[0].transpose(0, 2)?.narrow(1, 1, 3)?);
        let plain = |t: &[Tensor]| plain_gelu(&t[0].transpose(0, 2)?.narrow(1, 1, 3)?);
        compare(&[random(8, &[3, 5, 11])], turned, plain);
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_agree_with_the_elementary_ops_forward_and_backward() {
        // Results are below 6 and rounded once.
        for (dtype, limit) in [(DType::F32, 2e-5), (DType::BF16, 1e-2), (DType::F16, 1e-3)] {
            for shape in [&[3usize, 5, 11][..], &[1], &[9, 0, 2], &[2, 8192], &[7, 1, 601]] {
                let x = [(random(7, shape) * 6.0).unwrap()];
                let with = (dtype, limit, true);
                compare_kernels(&x, |t| relu(&t[0]), |t| t[0].relu(), with);
                let plain = |t: &[Tensor]| plain_leaky_relu(&t[0], 0.2);
                compare_kernels(&x, |t| leaky_relu(&t[0], 0.2), plain, with);
                compare_kernels(&x, |t| gelu(&t[0]), |t| plain_gelu(&t[0]), with);
            }
            let part = |t: &[Tensor]| t[0].narrow(0, 1, 2)?.transpose(1, 2);
            let x = [(random(8, &[3, 5, 12]) * 6.0).unwrap()];
            let with = (dtype, limit, true);
            compare_kernels(&x, |t| gelu(&part(t)?), |t| plain_gelu(&part(t)?), with);
            let odd = |t: &[Tensor]| t[0].flatten_all()?.narrow(0, 3, 170);
            compare_kernels(&x, |t| gelu(&odd(t)?), |t| plain_gelu(&odd(t)?), with);
        }
    }

    #[test]
    fn nothing_passes_a_rectifier_at_zero() {
        let x = candle_core::Var::new(&[0.0f32, -0.0, 1.0], &Device::Cpu).unwrap();
        let grads = relu(&x).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(grads.get(&x).unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_bits_do_not_depend_on_the_threads() {
        same_bits(&[(random(7, &[5, 9001]) * 6.0).unwrap()], |t| gelu(&t[0]));
    }

    #[test]
    fn gradients() {
        check(&[random(1, &[3, 4])], |t| plain_leaky_relu(&t[0], 0.01));
        check(&[random(2, &[3, 4])], |t| plain_gelu(&t[0]));
    }
}
