use super::*;
use crate::ops::gradcheck::{check, compare, max_diff, random, same_bits};
use candle_core::Device;

pub(super) fn inputs(shape: &[usize], channels: usize) -> [Tensor; 3] {
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
    let turned = inputs(&[6, 5, 4], 6);
    let op = |t: &[Tensor]| layer_norm(&t[0].transpose(0, 2)?, &t[1], &t[2], 1e-5);
    compare(&turned, op, |t| plain(&t[0].transpose(0, 2)?, &t[1], &t[2], 1e-5));
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
    let turned = inputs(&[2, 4, 5, 3], 4);
    let op = |t: &[Tensor]| layer_norm_2d(&t[0].transpose(2, 3)?, &t[1], &t[2], 1e-5);
    compare(&turned, op, |t| plain_2d(&t[0].transpose(2, 3)?, &t[1], &t[2], 1e-5));
}

/// Of a result of type `dtype`: f32 as on the CPU; else two roundings of its last place, since
/// numbers stay below 8 times the largest or 1.
pub(super) fn limit(dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => 1e-2,
        DType::F16 => 1e-3,
        _ => 2e-5,
    }
}

#[test]
fn the_result_may_be_of_another_type() {
    let types = [DType::F32, DType::BF16, DType::F16];
    for (from, to) in types.iter().flat_map(|from| types.map(|to| (*from, to))) {
        let [x, weight, bias] = inputs(&[3, 7, 36], 36).map(|t| t.to_dtype(from).unwrap());
        let y = layer_norm_as(&x, [&weight, &bias], 1e-6, to).unwrap();
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
