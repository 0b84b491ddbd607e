//! Softmax over the last dimension.

mod cpu;

use crate::gpu::{Backend, select_backend};
use candle_core::{D, Result, Tensor};
pub(crate) use cpu::{gradient_rows, softmax_rows};

/// Softmax over the last dimension, any shape. A row of nothing but −∞ becomes NaN, as PyTorch's.
///
/// f32 on the CPU is done row by row in a kernel of our own (candle's has no gradient and says
/// nothing about it), and so are f32, bf16 and f16 on a GPU; all else by [`plain`].
///
/// # Errors
/// When a tensor operation fails.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    match select_backend(&[x]) {
        #[cfg(feature = "kernels")]
        Backend::Kernels => crate::gpu::apply(desam_kernels::ops::softmax::Softmax, &[x]),
        Backend::Cpu => x.contiguous()?.apply_op1(cpu::Softmax),
        Backend::Plain => plain(x),
    }
}

/// The definition, with a gradient. The maximum only keeps `exp` in range and cancels out, so it is
/// cut from the graph.
///
/// # Errors
/// When a tensor operation fails.
pub fn plain(x: &Tensor) -> Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    let e = shifted.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "emulation")]
    use crate::ops::gradcheck::compare_kernels;
    use crate::ops::gradcheck::{check, compare, random, same_bits};
    use candle_core::{DType, Device};

    #[test]
    fn agrees_with_the_definition_for_odd_rows() {
        for row in [1usize, 2, 7, 15, 16, 17, 63, 64, 65, 129, 4099] {
            for batch in [1, 3, 9] {
                let x = [(random(row as u64, &[batch, 5, row]) * 20.0).unwrap()];
                compare(&x, |t| softmax(&t[0]), |t| plain(&t[0]));
            }
        }
        let turned = |t: &[Tensor]| t[0].transpose(0, 2);
        let x = [random(3, &[4, 5, 6])];
        compare(&x, |t| softmax(&turned(t)?), |t| plain(&turned(t)?));
    }

    #[test]
    fn far_numbers_infinities_and_nothing() {
        let row = |values: &[f32]| {
            let x = Tensor::from_slice(values, values.len(), &Device::Cpu).unwrap();
            softmax(&x).unwrap().to_vec1::<f32>().unwrap()
        };
        let inf = f32::NEG_INFINITY;
        assert_eq!(row(&[inf, 3.0, inf, 3.0]), [0.0, 0.5, 0.0, 0.5]);
        assert_eq!(row(&[-4000.0, -3000.0]), [0.0, 1.0]);
        assert_eq!(row(&[1e30]), [1.0]);
        assert!(row(&[inf, inf]).iter().all(|v| v.is_nan()));
        let empty = Tensor::zeros((3, 0), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(softmax(&empty).unwrap().dims(), &[3, 0]);
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_agree_with_the_definition_forward_and_backward() {
        // Weights and their gradients are below 1 and rounded once; those of the sum in the gradient
        // are half a unit each.
        for (dtype, limit) in [(DType::F32, 2e-5), (DType::BF16, 8e-3), (DType::F16, 1e-3)] {
            for row in [1usize, 2, 7, 31, 64, 65, 1029] {
                for batch in [1, 3] {
                    let x = [(random(row as u64, &[batch, 5, row]) * 20.0).unwrap()];
                    let with = (dtype, limit, true);
                    compare_kernels(&x, |t| softmax(&t[0]), |t| plain(&t[0]), with);
                }
            }
            let part = |t: &[Tensor]| t[0].narrow(0, 1, 2)?.transpose(0, 2);
            let x = [random(3, &[4, 5, 6])];
            compare_kernels(&x, |t| softmax(&part(t)?), |t| plain(&part(t)?), (dtype, limit, true));
        }
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_know_far_numbers_infinities_and_nothing() {
        let run = |values: &[f32]| {
            let x = Tensor::from_slice(values, values.len(), &Device::Cpu).unwrap();
            let y = crate::gpu::emulated(|| Ok(vec![softmax(&x)?])).unwrap();
            y.map(|y| y[0].to_vec1::<f32>().unwrap())
        };
        let inf = f32::NEG_INFINITY;
        let Some(y) = run(&[inf, 3.0, inf, 3.0]) else {
            return println!("skipped: kernels are not emulated, there was no C++ compiler");
        };
        assert_eq!(y, [0.0, 0.5, 0.0, 0.5]);
        assert_eq!(run(&[-4000.0, -3000.0]).unwrap(), [0.0, 1.0]);
        assert_eq!(run(&[1e30]).unwrap(), [1.0]);
        assert!(run(&[inf, inf]).unwrap().iter().all(|v| v.is_nan()));
        assert!(run(&[]).unwrap().is_empty());
    }

    #[test]
    fn the_bits_do_not_depend_on_the_threads() {
        same_bits(&[random(5, &[900, 77])], |t| softmax(&t[0]));
    }

    #[test]
    fn gradient() {
        check(&[random(2, &[2, 5])], |t| plain(&t[0]));
    }
}
