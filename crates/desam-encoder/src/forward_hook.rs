//! Hooks on intermediate results of a forward pass.

use candle_core::{Result, Tensor};
use std::fmt;

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
        self.call_named(|| name, result)
    }

    /// [`call`](Self::call) with a name that is put together only if there is a function to receive it.
    ///
    /// # Errors
    /// When `result` or the function fails.
    pub fn call_named<N: AsRef<str>>(
        &self,
        name: impl FnOnce() -> N,
        result: impl FnOnce() -> Result<Tensor>,
    ) -> Result<()> {
        match self.0 {
            Some(receive) => receive(name().as_ref(), &result()?),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ForwardHook<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForwardHook").field(&self.0.is_some()).finish()
    }
}
