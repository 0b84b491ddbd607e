//! Activations as values, for layers and epilogues that take one.

use super::{gelu, plain_gelu, relu};
use candle_core::{Result, Tensor};

/// Activation function of a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Activation {
    /// None: the identity.
    #[default]
    Identity,
    /// GELU with the exact error function (SAM's image encoder).
    Gelu,
    /// Rectifier (SAM's mask decoder).
    Relu,
}

impl Activation {
    /// Applies it to every number of `x`.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            Self::Gelu => gelu(x),
            Self::Relu => relu(x),
        }
    }

    /// The same in elementary ops: the reference.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn plain(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            Self::Gelu => plain_gelu(x),
            Self::Relu => x.relu(),
        }
    }
}
