//! Convolutions.

use super::fan_in_uniform;
use crate::ops::conv_transpose2d::conv_transpose2x2;
use crate::ops::conv2d::{Conv2dConfig, conv2d};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// A 2-D convolution with a square kernel.
#[derive(Debug, Clone)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    config: Conv2dConfig,
}

impl Conv2d {
    /// `weight [outputs, inputs, kernel, kernel]`, no bias.
    ///
    /// # Errors
    /// When a parameter cannot be had.
    pub fn new(
        (inputs, outputs): (usize, usize),
        kernel: usize,
        config: Conv2dConfig,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let hint = fan_in_uniform(inputs * kernel * kernel);
        let weight = vb.get_with_hints((outputs, inputs, kernel, kernel), "weight", hint)?;
        Ok(Self { weight, bias: None, config })
    }

    /// The same with `bias [outputs]`.
    ///
    /// # Errors
    /// When a parameter cannot be had.
    pub fn with_bias(
        (inputs, outputs): (usize, usize),
        kernel: usize,
        config: Conv2dConfig,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let hint = fan_in_uniform(inputs * kernel * kernel);
        let bias = vb.get_with_hints(outputs, "bias", hint)?;
        Ok(Self { bias: Some(bias), ..Self::new((inputs, outputs), kernel, config, vb)? })
    }

    /// `x [B, inputs, H, W]` → `[B, outputs, H', W']`.
    ///
    /// # Errors
    /// When channels differ or the image is too small.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = conv2d(x, &self.weight, self.config)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?.reshape((1, (), 1, 1))?),
            None => Ok(y),
        }
    }
}

/// A transposed convolution, 2×2, stride 2: twice the side.
#[derive(Debug, Clone)]
pub struct ConvTranspose2x2 {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl ConvTranspose2x2 {
    /// `weight [inputs, outputs, 2, 2]`, no bias.
    ///
    /// # Errors
    /// When a parameter cannot be had.
    pub fn new((inputs, outputs): (usize, usize), vb: VarBuilder<'_>) -> Result<Self> {
        // PyTorch takes the fan-in from dimension 1, which here are the outputs.
        let hint = fan_in_uniform(outputs * 4);
        Ok(Self { weight: vb.get_with_hints((inputs, outputs, 2, 2), "weight", hint)?, bias: None })
    }

    /// The same with `bias [outputs]`.
    ///
    /// # Errors
    /// When a parameter cannot be had.
    pub fn with_bias((inputs, outputs): (usize, usize), vb: VarBuilder<'_>) -> Result<Self> {
        let bias = vb.get_with_hints(outputs, "bias", fan_in_uniform(outputs * 4))?;
        Ok(Self { bias: Some(bias), ..Self::new((inputs, outputs), vb)? })
    }

    /// `x [B, inputs, H, W]` → `[B, outputs, 2H, 2W]`.
    ///
    /// # Errors
    /// When channels differ.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = conv_transpose2x2(x, &self.weight)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?.reshape((1, (), 1, 1))?),
            None => Ok(y),
        }
    }
}
