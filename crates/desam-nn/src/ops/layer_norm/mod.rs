//! Layer norm over the last dimension, and SAM's LayerNorm2d over channels.

use candle_core::{D, DType, Result, Tensor};

/// Layer norm over the last dimension: `x [.., C]`, `weight` and `bias` `[C]`.
///
/// candle's fused kernel has no gradient and says nothing about it; it is used only where nothing
/// is tracked, and not for f64, which it does not know.
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let tracked = x.track_op() || weight.track_op() || bias.track_op();
    if tracked || x.dtype() == DType::F64 {
        plain(x, weight, bias, eps)
    } else {
        candle_nn::ops::layer_norm(&x.contiguous()?, weight, bias, eps as f32)
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
/// `LayerNorm2d`).
///
/// # Errors
/// When shapes do not fit or a tensor operation fails.
pub fn layer_norm_2d(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    let per_channel = |t: &Tensor| t.reshape((1, (), 1, 1));
    normal.broadcast_mul(&per_channel(weight)?)?.broadcast_add(&per_channel(bias)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{check, max_diff, random};

    #[test]
    fn the_fused_path_agrees_with_the_definition() {
        let f32s = |seed, shape: &[usize]| random(seed, shape).to_dtype(DType::F32).unwrap();
        let (x, w, b) = (f32s(1, &[3, 4, 33]), f32s(2, &[33]), f32s(3, &[33]));
        let fused = layer_norm(&x, &w, &b, 1e-6).unwrap();
        assert!(max_diff(&fused, &plain(&x, &w, &b, 1e-6).unwrap()) < 1e-5);
    }

    #[test]
    fn the_2d_norm_is_the_last_dimension_norm_of_the_permuted_tensor() {
        let (x, w, b) = (random(1, &[2, 5, 3, 4]), random(2, &[5]), random(3, &[5]));
        let last = x.permute((0, 2, 3, 1)).unwrap();
        let expected = plain(&last, &w, &b, 1e-6).unwrap().permute((0, 3, 1, 2)).unwrap();
        assert!(max_diff(&layer_norm_2d(&x, &w, &b, 1e-6).unwrap(), &expected) < 1e-12);
    }

    #[test]
    fn gradients() {
        let inputs = [random(4, &[2, 6]), random(5, &[6]), random(6, &[6])];
        check(&inputs, |t| layer_norm(&t[0], &t[1], &t[2], 1e-5));
        let inputs = [random(4, &[1, 3, 2, 2]), random(5, &[3]), random(6, &[3])];
        check(&inputs, |t| layer_norm_2d(&t[0], &t[1], &t[2], 1e-6));
    }
}
