//! Multi-layer perceptrons, in SAM's two variants.

use super::Linear;
use crate::ops::linear::{Activation, Epilogue, SumAndNorm};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// SAM's `MLPBlock`, the feed-forward network of a transformer block: `lin1`, activation, `lin2`.
#[derive(Debug, Clone)]
pub struct MlpBlock {
    lin1: Linear,
    lin2: Linear,
    activation: Activation,
}

impl MlpBlock {
    /// `width → hidden → width`.
    ///
    /// # Errors
    /// When a parameter is missing or of another shape.
    pub fn new(
        width: usize,
        hidden: usize,
        activation: Activation,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        Ok(Self {
            lin1: Linear::new(width, hidden, vb.pp("lin1"))?,
            lin2: Linear::new(hidden, width, vb.pp("lin2"))?,
            activation,
        })
    }

    /// `x [.., width]`, the same shape out.
    ///
    /// # Errors
    /// When the last dimension is another.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, Epilogue::default())
    }

    /// [`forward`](Self::forward) with an epilogue behind the second layer.
    ///
    /// # Errors
    /// When the last dimension is another, or the epilogue does not fit the result.
    pub fn forward_with(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        self.lin2.forward_with(&self.hidden(x)?, epilogue)
    }

    /// [`forward_with`](Self::forward_with) that returns the sum before the norm as well.
    ///
    /// # Errors
    /// As [`forward_with`](Self::forward_with).
    pub fn forward_with_sum(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<SumAndNorm> {
        self.lin2.forward_with_sum(&self.hidden(x)?, epilogue)
    }

    fn hidden(&self, x: &Tensor) -> Result<Tensor> {
        self.lin1.forward_with(x, self.activation.into())
    }
}

/// SAM's `MLP`: `layers.0 … layers.n`, rectifiers between.
#[derive(Debug, Clone)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// Layers through the given widths, from the first (inputs) to the last (outputs).
    ///
    /// # Errors
    /// When a parameter is missing or of another shape.
    pub fn new(widths: &[usize], vb: VarBuilder<'_>) -> Result<Self> {
        let vb = vb.pp("layers");
        let pairs = widths.windows(2).enumerate();
        let layers = pairs.map(|(i, w)| Linear::new(w[0], w[1], vb.pp(i)));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// `x [.., inputs]` → `[.., outputs]`, no activation after the last layer.
    ///
    /// # Errors
    /// When the last dimension is not the inputs'.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let last = i + 1 == self.layers.len();
            let activation = if last { Activation::Identity } else { Activation::Relu };
            x = layer.forward_with(&x, activation.into())?;
        }
        Ok(x)
    }
}
