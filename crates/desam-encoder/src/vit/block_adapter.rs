//! The seam between the image encoder's blocks and an adapter.

use crate::forward_hook::ForwardHook;
use candle_core::{Result, Tensor};
use std::fmt;

/// An adapter: adds to the blocks of a vision transformer, in up to three positions each.
///
/// Every method's default adds nothing. Tensors are channels-last, `[B, G, G, C]`, with the real tokens
/// only: the padding of attention windows is added later, inside the attention.
pub trait BlockAdapter: fmt::Debug + Send + Sync {
    /// Whether a parameter is a variable. The batch is then computed as a whole, for one gradient a
    /// parameter.
    fn is_trainable(&self) -> bool;

    /// Features that all blocks share, computed once from the `tokens` before the first block (patch
    /// embedding and positions): [`BlockInput::shared`].
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn shared(&self, _tokens: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Added to a block's input, outside its residual branches.
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn before_block(&self, _tokens: &Tensor, _input: BlockInput<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Added to queries, keys and values `[B, G, G, 3C]`, from the `normed` tokens that they are
    /// projected from.
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn qkv_update(&self, _normed: &Tensor, _input: BlockInput<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Added to a block's output, from norm 2 of its attention: a branch parallel to its perceptron.
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn beside_mlp(&self, _normed: &Tensor, _input: BlockInput<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// Inputs of a [`BlockAdapter`] besides the tokens.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BlockInput<'a> {
    /// Index of the block, from 0.
    pub index: usize,
    /// The output of [`BlockAdapter::shared`].
    pub shared: Option<&'a Tensor>,
    /// Receives intermediate results.
    pub hook: ForwardHook<'a>,
}

impl BlockInput<'_> {
    /// Passes an intermediate result to the hook as `block{index}.{name}`. It is computed only if there
    /// is one.
    ///
    /// # Errors
    /// When `result` or the hook fails.
    pub fn call(&self, name: &str, result: impl FnOnce() -> Result<Tensor>) -> Result<()> {
        self.hook.call_named(|| format!("block{}.{name}", self.index), result)
    }

    /// The shared features.
    pub(crate) fn features(&self) -> Result<&Tensor> {
        match self.shared {
            Some(features) => Ok(features),
            None => candle_core::bail!("adapter: no shared features were computed"),
        }
    }
}
