//! Linear layer: an affine map of the last dimension.

use super::fan_in_uniform;
use crate::ops::linear::{Affine, Epilogue, SumAndNorm, linear, linear_with_sum};
use candle_core::{DType, Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// Linear layer, `y = x · weightᵀ (+ bias)` over the last dimension.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

/// Initialisation of a [`Linear`] layer that differs from PyTorch's default.
#[derive(Debug, Clone, Copy)]
pub struct LinearInit {
    /// Of the weight.
    pub weight: Init,
    /// Of the bias.
    pub bias: Init,
}

impl Linear {
    /// [`new`](Self::new) with another initialisation of parameters that the checkpoint lacks.
    ///
    /// # Errors
    /// When a parameter is missing or of another shape.
    pub fn with_init(
        inputs: usize,
        outputs: usize,
        init: LinearInit,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let weight = vb.get_with_hints((outputs, inputs), "weight", init.weight)?;
        Ok(Self { weight, bias: Some(vb.get_with_hints(outputs, "bias", init.bias)?) })
    }

    /// `weight [outputs, inputs]` and `bias [outputs]`.
    ///
    /// # Errors
    /// When a parameter is missing or of another shape.
    pub fn new(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let bias = vb.get_with_hints(outputs, "bias", fan_in_uniform(inputs))?;
        Ok(Self { bias: Some(bias), ..Self::without_bias(inputs, outputs, vb)? })
    }

    /// `weight [outputs, inputs]` only.
    ///
    /// # Errors
    /// When the parameter is missing or of another shape.
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
        self.forward_with(x, Epilogue::default())
    }

    /// [`forward`](Self::forward) with an epilogue: activation, residual and layer norm in as few
    /// passes as the device allows ([`linear`]).
    ///
    /// # Errors
    /// When the last dimension is not `inputs`, or the epilogue does not fit the result.
    pub fn forward_with(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        linear(x, self.affine(), epilogue)
    }

    /// [`forward_with`](Self::forward_with) that returns the sum before the norm as well.
    ///
    /// # Errors
    /// As [`forward_with`](Self::forward_with).
    pub fn forward_with_sum(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<SumAndNorm> {
        linear_with_sum(x, self.affine(), epilogue)
    }

    /// `forward(x + positions)` for `positions [1, .., inputs]` that all of `x [N, .., inputs]` share.
    /// They are projected once and added to the result, so the sum `x + positions` is never stored.
    pub(super) fn forward_positioned(&self, x: &Tensor, positions: &Tensor) -> Result<Tensor> {
        let without_bias = Affine { bias: None, ..self.affine() };
        let projected = linear(positions, without_bias, Epilogue::default())?;
        self.forward_with(x, Epilogue::add(&projected))
    }

    pub(super) fn affine(&self) -> Affine<'_> {
        Affine { weight: &self.weight, bias: self.bias.as_ref() }
    }
}
