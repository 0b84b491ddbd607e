//! Affine map of the last dimension.

use super::fan_in_uniform;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// `y = x · weightᵀ (+ bias)` over the last dimension.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `weight [outputs, inputs]` and `bias [outputs]`.
    ///
    /// # Errors
    /// When a parameter cannot be had.
    pub fn new(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let bias = vb.get_with_hints(outputs, "bias", fan_in_uniform(inputs))?;
        Ok(Self { bias: Some(bias), ..Self::without_bias(inputs, outputs, vb)? })
    }

    /// `weight [outputs, inputs]` alone.
    ///
    /// # Errors
    /// When a parameter cannot be had.
    pub fn without_bias(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let weight = vb.get_with_hints((outputs, inputs), "weight", fan_in_uniform(inputs))?;
        Ok(Self { weight, bias: None })
    }

    /// `x [.., inputs]` → `[.., outputs]`.
    ///
    /// # Errors
    /// When the last dimension is not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // One product over all leading dimensions at once: candle would copy the weight for each.
        let (outputs, inputs) = self.weight.dims2()?;
        let mut dims = x.dims().to_vec();
        let rows = x.elem_count() / inputs.max(1);
        let y = x.reshape((rows, inputs))?.matmul(&self.weight.t()?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        y.reshape(dims)
    }
}
