//! Multi-layer perceptrons, in SAM's two spellings.

use super::{LayerNorm, Linear};
use crate::ops::linear::{Activation, Normed};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// SAM's `MLPBlock`: `lin1`, activation, `lin2`.
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
    /// When a parameter cannot be had.
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
        self.lin2.forward(&self.lin1.forward_activated(x, self.activation)?)
    }

    /// `to + forward(x)` in one pass.
    ///
    /// # Errors
    /// When the last dimension is another, or `to` has another shape than `x`.
    pub fn forward_added(&self, x: &Tensor, to: &Tensor) -> Result<Tensor> {
        self.lin2.forward_added(&self.lin1.forward_activated(x, self.activation)?, to)
    }

    /// The norm of [`forward_added`](Self::forward_added), which itself is not kept.
    ///
    /// # Errors
    /// As [`forward_added`](Self::forward_added).
    pub fn forward_normed(&self, x: &Tensor, to: &Tensor, norm: &LayerNorm) -> Result<Tensor> {
        self.lin2.forward_normed(&self.lin1.forward_activated(x, self.activation)?, to, norm)
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
        let inside = self.lin1.forward_activated(x, self.activation)?;
        self.lin2.forward_added_normed(&inside, to, norm)
    }
}

/// SAM's `MLP`: `layers.0 … layers.n`, rectifiers between.
#[derive(Debug, Clone)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// Through the given widths, from the first (inputs) to the last (outputs).
    ///
    /// # Errors
    /// When a parameter cannot be had.
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
            x = match i + 1 < self.layers.len() {
                true => layer.forward_activated(&x, Activation::Relu)?,
                false => layer.forward(&x)?,
            };
        }
        Ok(x)
    }
}
