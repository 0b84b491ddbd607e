//! Affine map of the last dimension.

use super::{LayerNorm, fan_in_uniform};
use crate::ops::linear::{
    Activation, Affine, Normed, linear, linear_added, linear_added_normed, linear_normed,
};
use candle_core::{DType, Result, Tensor};
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

    /// The type of its weight.
    pub fn dtype(&self) -> DType {
        self.weight.dtype()
    }

    /// `x [.., inputs]` → `[.., outputs]`.
    ///
    /// # Errors
    /// When the last dimension is not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        linear(x, self.affine(), None)
    }

    /// The same with an activation behind it.
    ///
    /// # Errors
    /// When the last dimension is not `inputs`.
    pub fn forward_activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        linear(x, self.affine(), Some(activation))
    }

    /// `to + forward(x)` in one pass; `to` may be the same to all of the first dimension.
    ///
    /// # Errors
    /// When the last dimension is not `inputs`, or `to` has another shape than the result.
    pub fn forward_added(&self, x: &Tensor, to: &Tensor) -> Result<Tensor> {
        linear_added(x, self.affine(), to)
    }

    /// The norm of [`forward_added`](Self::forward_added), which itself is not kept.
    ///
    /// # Errors
    /// As [`forward_added`](Self::forward_added).
    pub fn forward_normed(&self, x: &Tensor, to: &Tensor, norm: &LayerNorm) -> Result<Tensor> {
        linear_normed(x, self.affine(), to, norm.parameters())
    }

    /// [`forward_added`](Self::forward_added) and its norm, of the type of `x`.
    ///
    /// # Errors
    /// As [`forward_added`](Self::forward_added).
    pub fn forward_added_normed(
        &self,
        x: &Tensor,
        to: &Tensor,
        norm: &LayerNorm,
    ) -> Result<Normed> {
        linear_added_normed(x, self.affine(), to, norm.parameters(), x.dtype())
    }

    /// `forward(x + places)` for `places [1, .., inputs]` that are the same to all of `x [N, .., inputs]`:
    /// they go through the map once, and the sum of both is not made.
    pub(super) fn forward_placed(&self, x: &Tensor, places: &Tensor) -> Result<Tensor> {
        let placed = linear(places, Affine { bias: None, ..self.affine() }, None)?;
        linear_added(x, self.affine(), &placed)
    }

    pub(super) fn affine(&self) -> Affine<'_> {
        Affine { weight: &self.weight, bias: self.bias.as_ref() }
    }
}
