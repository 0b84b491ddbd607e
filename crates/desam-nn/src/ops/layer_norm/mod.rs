//! Layer norm over the last dimension, and SAM's LayerNorm2d over channels.

mod gpu;
mod kernels;
mod planes;
mod rows;

use candle_core::{D, DType, Result, Tensor};

/// Layer norm over the last dimension: `x [.., C]`, `weight` and `bias` `[C]`.
///
/// f32 on the CPU is done row by row in a kernel of our own (candle's has no gradient and says
/// nothing about it); all else by [`plain`].
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    if crate::gpu::path(&[x, weight, bias]) == crate::gpu::Path::Kernels {
        let op = gpu::LayerNorm { eps, to: x.dtype() };
        let single = |t: &Tensor| t.to_dtype(DType::F32);
        return crate::gpu::apply(op, &[x, &single(weight)?, &single(bias)?]);
    }
    match fast([x, weight, bias])? {
        Some([x, weight, bias]) => x.apply_op3(&weight, &bias, rows::LayerNorm { eps }),
        None => plain(x, weight, bias, eps),
    }
}

/// The definition, with a gradient.
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normal.broadcast_mul(weight)?.broadcast_add(bias)
}

/// Layer norm over the channels of `x [B, C, H, W]`, `weight` and `bias` `[C]` (SAM's
/// `LayerNorm2d`). f32 on the CPU by a kernel of our own, all else by [`plain_2d`].
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn layer_norm_2d(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    match fast([x, weight, bias])? {
        Some([x, weight, bias]) => x.apply_op3(&weight, &bias, planes::LayerNorm2d { eps }),
        None => plain_2d(x, weight, bias, eps),
    }
}

/// The definition of [`layer_norm_2d`], with a gradient.
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn plain_2d(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    let per_channel = |t: &Tensor| t.reshape((1, (), 1, 1));
    normal.broadcast_mul(&per_channel(weight)?)?.broadcast_add(&per_channel(bias)?)
}

/// The three tensors without gaps, where the fast path takes them.
fn fast(tensors: [&Tensor; 3]) -> Result<Option<[Tensor; 3]>> {
    if !tensors.iter().all(|t| t.device().is_cpu() && t.dtype() == DType::F32) {
        return Ok(None);
    }
    let [x, weight, bias] = tensors;
    Ok(Some([x.contiguous()?, weight.contiguous()?, bias.contiguous()?]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{check, compare, max_diff, random, same_bits};
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
        let turned = inputs(&[6, 5, 4], 6);
        let op = |t: &[Tensor]| layer_norm(&t[0].transpose(0, 2)?, &t[1], &t[2], 1e-5);
        compare(&turned, op, |t| plain(&t[0].transpose(0, 2)?, &t[1], &t[2], 1e-5));
    }

    #[test]
    fn channels_agree_with_the_definition_forward_and_backward() {
        for (c, h, w) in
            [(2usize, 1usize, 1usize), (3, 5, 7), (16, 8, 8), (65, 23, 24), (9, 37, 41)]
        {
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

    #[test]
    fn kernels_agree_with_the_definition() {
        for (dtype, limit) in [(DType::F32, 2e-5), (DType::BF16, 1e-2), (DType::F16, 1e-3)] {
            for c in [1usize, 2, 31, 64, 769] {
                crate::ops::gradcheck::compare_kernels(
                    &inputs(&[2, 9, c], c),
                    |t| layer_norm(&t[0], &t[1], &t[2], 1e-6),
                    |t| plain(&t[0], &t[1], &t[2], 1e-6),
                    (dtype, limit, false),
                );
            }
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
}
