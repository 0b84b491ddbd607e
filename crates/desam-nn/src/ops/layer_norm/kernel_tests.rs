//! The kernels against the definition, emulated.

use super::tests::{inputs, limit};
use super::*;
use crate::ops::gradcheck::compare_kernels;
use candle_core::Device;

#[test]
fn kernels_agree_with_the_definition_forward_and_backward() {
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for c in [1usize, 2, 31, 64, 260, 769, 1280, 1540] {
            for b in [1, 3] {
                compare_kernels(
                    &inputs(&[b, 5, c], c),
                    |t| layer_norm(&t[0], &t[1], &t[2], 1e-6),
                    |t| plain(&t[0], &t[1], &t[2], 1e-6),
                    // A pair normalises to almost ±1 whatever it is: its gradient is what is
                    // left of a difference, and grows with the scale.
                    (dtype, limit(dtype), c > 2),
                );
            }
        }
        // Many rows; and a part of a tensor, transposed.
        compare_kernels(
            &inputs(&[2, 300, 12], 12),
            |t| layer_norm(&t[0], &t[1], &t[2], 1e-6),
            |t| plain(&t[0], &t[1], &t[2], 1e-6),
            (dtype, limit(dtype), true),
        );
        let part = |t: &Tensor| t.narrow(0, 1, 7)?.transpose(1, 2);
        compare_kernels(
            &inputs(&[9, 8, 5], 8),
            |t| layer_norm(&part(&t[0])?, &t[1], &t[2], 1e-5),
            |t| plain(&part(&t[0])?, &t[1], &t[2], 1e-5),
            (dtype, limit(dtype), true),
        );
    }
}

#[test]
fn kernels_over_channels_agree_with_the_definition_forward_and_backward() {
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for (c, h, w) in [(1usize, 1usize, 3usize), (3, 5, 7), (16, 2, 8), (65, 7, 2)] {
            for b in [1, 3] {
                compare_kernels(
                    &inputs(&[b, c, h, w], c),
                    |t| layer_norm_2d(&t[0], &t[1], &t[2], 1e-6),
                    |t| plain_2d(&t[0], &t[1], &t[2], 1e-6),
                    (dtype, limit(dtype), c > 2),
                );
            }
        }
        let part = |t: &Tensor| t.narrow(0, 1, 2)?.transpose(2, 3);
        compare_kernels(
            &inputs(&[3, 4, 5, 9], 4),
            |t| layer_norm_2d(&part(&t[0])?, &t[1], &t[2], 1e-5),
            |t| plain_2d(&part(&t[0])?, &t[1], &t[2], 1e-5),
            (dtype, limit(dtype), true),
        );
    }
}

#[test]
fn kernels_take_nothing() {
    let zeros = |shape: &[usize]| candle_core::Var::zeros(shape, DType::F32, &Device::Cpu);
    let (x, weight, bias) = (zeros(&[0, 8]).unwrap(), zeros(&[8]).unwrap(), zeros(&[8]).unwrap());
    let all = crate::gpu::emulated(|| {
        let y = layer_norm(&x, &weight, &bias, 1e-6)?;
        let over_channels = layer_norm_2d(&x.reshape((0, 8, 3, 0))?, &weight, &bias, 1e-6)?;
        let y = (y.sum_all()? + over_channels.sum_all()?)?;
        let grads = y.sum_all()?.backward()?;
        Ok(vec![grads.get(&weight).unwrap().clone(), grads.get(&bias).unwrap().clone()])
    });
    for grad in all.unwrap().unwrap_or_default() {
        assert_eq!(grad.to_vec1::<f32>().unwrap(), [0.0; 8]);
    }
}

#[test]
fn kernels_give_results_that_may_be_of_another_type() {
    let types = [DType::F32, DType::BF16, DType::F16];
    for (from, to) in types.iter().flat_map(|from| types.map(|to| (*from, to))) {
        let as_to = |t: &[Tensor]| layer_norm_as(&t[0], [&t[1], &t[2]], 1e-6, to);
        compare_kernels(
            &inputs(&[3, 7, 36], 36),
            // Parameters stay f32, as those of a model that is trained do.
            |t| {
                let t = [t[0].clone(), t[1].to_dtype(DType::F32)?, t[2].to_dtype(DType::F32)?];
                let y = as_to(&t)?;
                assert_eq!(y.dtype(), to);
                Ok(y)
            },
            |t| plain(&t[0], &t[1], &t[2], 1e-6),
            // Backwards the gradient of the result is of type `to`.
            (from, limit(from).max(limit(to)), true),
        );
    }
}
