//! Layer norms.

use crate::ops::layer_norm;
use crate::ops::two_way_attention::Norm;
use candle_core::{DType, Result, Tensor};
use candle_nn::{Init, VarBuilder};

fn parameters(channels: usize, vb: &VarBuilder<'_>) -> Result<(Tensor, Tensor)> {
    let weight = vb.get_with_hints(channels, "weight", Init::Const(1.0))?;
    Ok((weight, vb.get_with_hints(channels, "bias", Init::Const(0.0))?))
}

/// Layer norm over the last dimension.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// `weight` and `bias` `[channels]`.
    ///
    /// # Errors
    /// When a parameter cannot be had.
    pub fn new(channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        let (weight, bias) = parameters(channels, &vb)?;
        Ok(Self { weight, bias, eps })
    }

    /// `x [.., channels]`, the same shape out.
    ///
    /// # Errors
    /// When the last dimension is another.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm::layer_norm(x, &self.weight, &self.bias, self.eps)
    }

    /// The same with a result of type `dtype`.
    ///
    /// # Errors
    /// When the last dimension is another.
    pub fn forward_as(&self, x: &Tensor, dtype: DType) -> Result<Tensor> {
        layer_norm::layer_norm_as(x, [&self.weight, &self.bias], self.eps, dtype)
    }

    /// Its parameters, for an op that has it inside.
    pub fn parameters(&self) -> Norm<'_> {
        Norm { weight: &self.weight, bias: &self.bias, eps: self.eps }
    }
}

/// SAM's `LayerNorm2d`: over the channels of `[B, C, H, W]`, eps 1e-6.
#[derive(Debug, Clone)]
pub struct LayerNorm2d {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm2d {
    /// `weight` and `bias` `[channels]`.
    ///
    /// # Errors
    /// When a parameter cannot be had.
    pub fn new(channels: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let (weight, bias) = parameters(channels, &vb)?;
        Ok(Self { weight, bias })
    }

    /// `x [B, channels, H, W]`, the same shape out.
    ///
    /// # Errors
    /// When the channels are others.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm::layer_norm_2d(x, &self.weight, &self.bias, 1e-6)
    }
}
