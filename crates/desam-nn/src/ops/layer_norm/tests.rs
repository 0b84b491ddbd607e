use super::*;
use crate::ops::gradcheck::{check, compare, compare_kernels, max_diff, random, same_bits};
use candle_core::Device;

fn inputs(shape: &[usize], channels: usize) -> [Tensor; 3] {
    let x = ((random(1, shape) * 3.0).unwrap() + 0.7).unwrap();
    [x, random(2, &[channels]), random(3, &[channels])]
}

#[test]
fn rows_agree_with_the_definition_forward_and_backward() {
    for c in [2usize, 3, 15, 16, 33, 256, 769] {
        for b in [1, 2, 9] {
            compare(
                &inputs(&[b, 13, c], c),
                |t| layer_norm(&t[0], &t[1], &t[2], 1e-6),
                |t| plain(&t[0], &t[1], &t[2], 1e-6),
            );
        }
    }
    let transposed = inputs(&[6, 5, 4], 6);
    let op = |t: &[Tensor]| layer_norm(&t[0].transpose(0, 2)?, &t[1], &t[2], 1e-5);
    compare(&transposed, op, |t| plain(&t[0].transpose(0, 2)?, &t[1], &t[2], 1e-5));
}

#[test]
fn channels_agree_with_the_definition_forward_and_backward() {
    for (c, h, w) in [(2usize, 1usize, 1usize), (3, 5, 7), (16, 8, 8), (65, 23, 24), (9, 37, 41)] {
        for b in [1, 2, 9] {
            compare(
                &inputs(&[b, c, h, w], c),
                |t| layer_norm_2d(&t[0], &t[1], &t[2], 1e-6),
                |t| plain_2d(&t[0], &t[1], &t[2], 1e-6),
            );
        }
    }
    let transposed = inputs(&[2, 4, 5, 3], 4);
    let op = |t: &[Tensor]| layer_norm_2d(&t[0].transpose(2, 3)?, &t[1], &t[2], 1e-5);
    compare(&transposed, op, |t| plain_2d(&t[0].transpose(2, 3)?, &t[1], &t[2], 1e-5));
}

/// Of a result of type `dtype`: f32 as on the CPU; else two roundings of its last place, since
/// numbers stay below 8 times the largest or 1.
fn limit(dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => 1e-2,
        DType::F16 => 1e-3,
        _ => 2e-5,
    }
}

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
fn the_result_may_be_of_another_type() {
    let types = [DType::F32, DType::BF16, DType::F16];
    for (from, to) in types.iter().flat_map(|from| types.map(|to| (*from, to))) {
        let as_to = |t: &[Tensor]| {
            layer_norm_as(&t[0], NormParameters { weight: &t[1], bias: &t[2], eps: 1e-6 }, to)
        };
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
            // Backward the gradient of the result is of type `to`.
            (from, limit(from).max(limit(to)), true),
        );
        let [x, weight, bias] = inputs(&[3, 7, 36], 36).map(|t| t.to_dtype(from).unwrap());
        let y = as_to(&[x.clone(), weight.clone(), bias.clone()]).unwrap();
        let expected = plain(&x, &weight, &bias, 1e-6).unwrap();
        assert_eq!(y.dtype(), to);
        assert!(max_diff(&y, &expected) < 4.0 * limit(from).max(limit(to)));
    }
}

#[test]
fn constant_rows_single_numbers_and_nothing() {
    let ones = |n| Tensor::ones(n, DType::F32, &Device::Cpu).unwrap();
    let x = Tensor::full(3.5f32, (2, 7), &Device::Cpu).unwrap();
    let y = layer_norm(&x, &ones(7), &ones(7), 1e-6).unwrap();
    assert_eq!(max_diff(&y, &y.ones_like().unwrap()), 0.0);
    let x = Tensor::full(3.5f32, (2, 1), &Device::Cpu).unwrap();
    let y = layer_norm(&x, &ones(1), &ones(1), 1e-6).unwrap();
    assert_eq!(max_diff(&y, &y.ones_like().unwrap()), 0.0);
    for shape in [[0usize, 3, 2, 2], [2, 3, 0, 2], [0, 3, 0, 0]] {
        let x = candle_core::Var::zeros(&shape, DType::F32, &Device::Cpu).unwrap();
        let y = layer_norm_2d(&x, &ones(3), &ones(3), 1e-6).unwrap();
        assert_eq!(y.dims(), shape);
        y.sum_all().unwrap().backward().unwrap();
    }
    let x = candle_core::Var::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
    let y = layer_norm(&x, &ones(3), &ones(3), 1e-6).unwrap();
    y.sum_all().unwrap().backward().unwrap();
    assert!(layer_norm(&ones(4), &ones(3), &ones(3), 1e-6).is_err());
    assert!(layer_norm_2d(&y.reshape((0, 3, 1, 1)).unwrap(), &ones(2), &ones(3), 0.1).is_err());
}

#[test]
fn the_2d_norm_is_the_last_dimension_norm_of_the_permuted_tensor() {
    let (x, w, b) = (random(1, &[2, 5, 3, 4]), random(2, &[5]), random(3, &[5]));
    let last = x.permute((0, 2, 3, 1)).unwrap();
    let expected = plain(&last, &w, &b, 1e-6).unwrap().permute((0, 3, 1, 2)).unwrap();
    assert!(max_diff(&layer_norm_2d(&x, &w, &b, 1e-6).unwrap(), &expected) < 1e-12);
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    same_bits(&inputs(&[2, 700, 129], 129), |t| layer_norm(&t[0], &t[1], &t[2], 1e-6));
    same_bits(&inputs(&[2, 33, 40, 41], 33), |t| layer_norm_2d(&t[0], &t[1], &t[2], 1e-6));
}

#[test]
fn gradients() {
    let inputs = [random(4, &[2, 6]), random(5, &[6]), random(6, &[6])];
    check(&inputs, |t| plain(&t[0], &t[1], &t[2], 1e-5));
    let inputs = [random(4, &[1, 3, 2, 2]), random(5, &[3]), random(6, &[3])];
    check(&inputs, |t| plain_2d(&t[0], &t[1], &t[2], 1e-6));
}
