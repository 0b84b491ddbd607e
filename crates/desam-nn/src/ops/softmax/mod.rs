//! Softmax over the last dimension.

use candle_core::{D, Result, Tensor};

/// Softmax over the last dimension, any shape.
///
/// candle's fused kernel has no gradient and says nothing about it; it is used only where nothing
/// is tracked.
///
/// # Errors
/// When a tensor operation fails.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if x.track_op() { plain(x) } else { candle_nn::ops::softmax_last_dim(&x.contiguous()?) }
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
    use crate::ops::gradcheck::{check, max_diff, random};
    use candle_core::DType;

    #[test]
    fn the_fused_path_agrees_with_the_definition() {
        let x = (random(1, &[2, 3, 17]) * 50.0).unwrap().to_dtype(DType::F32).unwrap();
        assert!(max_diff(&softmax(&x).unwrap(), &plain(&x).unwrap()) < 1e-6);
    }

    #[test]
    fn gradient() {
        check(&[random(2, &[2, 5])], |t| softmax(&t[0]));
    }
}
