//! Operands in the type that a kernel or a product takes.

use super::accelerator::Operand;
use candle_core::backend::BackendStorage;
use candle_core::{DType, Layout, Result};

/// An operand in another type, where it was not of it already.
pub(crate) struct Cast<S>(Option<(S, Layout)>);

impl<S: BackendStorage> Cast<S> {
    /// Casts where it must.
    pub(crate) fn to(operand: &Operand<'_, S>, dtype: DType) -> Result<Self> {
        if operand.dtype() == dtype {
            return Ok(Self(None));
        }
        let cast = operand.storage.to_dtype(operand.layout, dtype)?;
        Ok(Self(Some((cast, Layout::contiguous(operand.layout.shape())))))
    }

    /// What was cast, or the `original`.
    pub(crate) fn operand<'a>(&'a self, original: &Operand<'a, S>) -> Operand<'a, S> {
        match &self.0 {
            Some((storage, layout)) => Operand { storage, layout },
            None => Operand { storage: original.storage, layout: original.layout },
        }
    }
}
