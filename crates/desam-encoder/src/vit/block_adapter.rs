//! The seam between the image encoder's blocks and an adapter, and hooks on intermediate results.

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
        if self.hook.0.is_none() {
            return Ok(());
        }
        self.hook.call(&format!("block{}.{name}", self.index), result)
    }

    /// The shared features.
    pub(crate) fn features(&self) -> Result<&Tensor> {
        match self.shared {
            Some(features) => Ok(features),
            None => candle_core::bail!("adapter: no shared features were computed"),
        }
    }
}

/// The function of a [`ForwardHook`], called with the name of an intermediate result and the result.
type HookFn<'a> = &'a dyn Fn(&str, &Tensor) -> Result<()>;

/// Forward hook: a function that receives intermediate results by name, as PyTorch's forward hooks do.
/// The default receives none.
#[derive(Clone, Copy, Default)]
pub struct ForwardHook<'a>(Option<HookFn<'a>>);

impl<'a> ForwardHook<'a> {
    /// A hook that calls `receive` with each name and result.
    pub fn new(receive: HookFn<'a>) -> Self {
        Self(Some(receive))
    }

    /// Passes an intermediate result on. It is computed only if there is a function to receive it.
    ///
    /// # Errors
    /// When `result` or the function fails.
    pub fn call(&self, name: &str, result: impl FnOnce() -> Result<Tensor>) -> Result<()> {
        match self.0 {
            Some(receive) => receive(name, &result()?),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ForwardHook<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForwardHook").field(&self.0.is_some()).finish()
    }
}
