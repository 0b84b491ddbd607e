//! Convolution layers: 2-D convolution and 2×2 transposed convolution.

use super::fan_in_uniform;
use crate::ops::conv_transpose2d::conv_transpose2x2;
use crate::ops::conv2d::{Conv2dConfig, conv2d};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// Configuration of a [`Conv2d`] layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dLayerConfig {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Kernel size, stride and padding.
    pub window: Conv2dConfig,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Conv2dLayerConfig {
    /// Builds the layer: `weight [outputs, inputs, kernel, kernel]`, `bias [outputs]`.
    ///
    /// # Errors
    /// When a parameter is missing or of another shape.
    pub fn build(self, vb: VarBuilder<'_>) -> Result<Conv2d> {
        let Self { inputs, outputs, window, bias } = self;
        let kernel = window.kernel();
        let hint = fan_in_uniform(inputs * kernel * kernel);
        let bias = bias.then(|| vb.get_with_hints(outputs, "bias", hint)).transpose()?;
        let weight = vb.get_with_hints((outputs, inputs, kernel, kernel), "weight", hint)?;
        Ok(Conv2d { weight, bias, window })
    }
}

/// 2-D convolution with a square kernel.
#[derive(Debug, Clone)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    window: Conv2dConfig,
}

impl Conv2d {
    /// `x [B, inputs, H, W]` → `[B, outputs, H', W']`.
    ///
    /// # Errors
    /// When channels differ or the image is too small.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        add_bias(conv2d(x, &self.weight, self.window)?, self.bias.as_ref())
    }
}

/// Configuration of a [`ConvTranspose2x2`] layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose2x2Config {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

impl ConvTranspose2x2Config {
    /// Builds the layer: `weight [inputs, outputs, 2, 2]`, `bias [outputs]`.
    ///
    /// # Errors
    /// When a parameter is missing or of another shape.
    pub fn build(self, vb: VarBuilder<'_>) -> Result<ConvTranspose2x2> {
        let Self { inputs, outputs, bias } = self;
        // PyTorch takes the fan-in from dimension 1, which is the outputs here.
        let hint = fan_in_uniform(outputs * 4);
        let bias = bias.then(|| vb.get_with_hints(outputs, "bias", hint)).transpose()?;
        let weight = vb.get_with_hints((inputs, outputs, 2, 2), "weight", hint)?;
        Ok(ConvTranspose2x2 { weight, bias })
    }
}

/// Transposed convolution, 2×2 with stride 2: upsampling to twice the side.
#[derive(Debug, Clone)]
pub struct ConvTranspose2x2 {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl ConvTranspose2x2 {
    /// `x [B, inputs, H, W]` → `[B, outputs, 2H, 2W]`.
    ///
    /// # Errors
    /// When channels differ.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        add_bias(conv_transpose2x2(x, &self.weight)?, self.bias.as_ref())
    }
}

/// Adds a bias to every pixel of a channel.
fn add_bias(y: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    match bias {
        Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}
