//! Layer norms.

use crate::ops::layer_norm::{self, NormParameters};
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
    /// When a parameter is missing or of another shape.
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

    /// [`forward`](Self::forward) with a result of type `dtype`.
    ///
    /// # Errors
    /// When the last dimension is another.
    pub fn forward_as(&self, x: &Tensor, dtype: DType) -> Result<Tensor> {
        layer_norm::layer_norm_as(x, self.parameters(), dtype)
    }

    /// Its parameters, for an op with a fused norm ([`Epilogue`](super::Epilogue)).
    pub fn parameters(&self) -> NormParameters<'_> {
        NormParameters { weight: &self.weight, bias: &self.bias, eps: self.eps }
    }
}

/// Layer norm over the channels of `[B, C, H, W]`, SAM's `LayerNorm2d`, eps 1e-6.
#[derive(Debug, Clone)]
pub struct LayerNorm2d {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm2d {
    /// `weight` and `bias` `[channels]`.
    ///
    /// # Errors
    /// When a parameter is missing or of another shape.
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
