//! Casts of operands to the type that a kernel or a matrix product takes.

use super::accelerator::Operand;
use candle_core::backend::BackendStorage;
use candle_core::{DType, Layout, Result};

/// An operand cast to another type, or nothing if it had the type already.
pub(crate) struct Cast<S>(Option<(S, Layout)>);

impl<S: BackendStorage> Cast<S> {
    /// Casts `operand` unless it has the type.
    pub(crate) fn to(operand: &Operand<'_, S>, dtype: DType) -> Result<Self> {
        if operand.dtype() == dtype {
            return Ok(Self(None));
        }
        let cast = operand.storage.to_dtype(operand.layout, dtype)?;
        Ok(Self(Some((cast, Layout::contiguous(operand.layout.shape())))))
    }

    /// The cast operand, or the `original`.
    pub(crate) fn operand<'a>(&'a self, original: &Operand<'a, S>) -> Operand<'a, S> {
        match &self.0 {
            Some((storage, layout)) => Operand { storage, layout },
            None => Operand { storage: original.storage, layout: original.layout },
        }
    }
}
