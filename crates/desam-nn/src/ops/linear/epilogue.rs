//! The epilogue of an affine map: what is fused behind its product.

use super::Activation;
use crate::ops::layer_norm::NormParameters;
use candle_core::{DType, Tensor};

/// Epilogue of an affine map, in this order: activation, residual, layer norm. The default does
/// nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// Applied to the product with its bias.
    pub activation: Activation,
    /// Added after the activation: of the product's shape, or with a first dimension of 1, which is
    /// then added to each of the first dimension. It may be f32 where the input is bf16 or f16.
    pub residual: Option<&'a Tensor>,
    /// Layer norm of the sum, over the outputs.
    pub norm: Option<NormParameters<'a>>,
    /// Type of the result; by default that of the residual, or of the input without one.
    pub dtype: Option<DType>,
}

impl<'a> Epilogue<'a> {
    /// Adds `residual`, and nothing else.
    pub fn add(residual: &'a Tensor) -> Self {
        Self { residual: Some(residual), ..Self::default() }
    }

    /// Adds `residual` and normalises the sum.
    pub fn add_norm(residual: &'a Tensor, norm: NormParameters<'a>) -> Self {
        Self { residual: Some(residual), norm: Some(norm), ..Self::default() }
    }

    /// Type of the result for an input `x`.
    pub fn result_type(&self, x: &Tensor) -> DType {
        self.dtype.unwrap_or_else(|| self.residual.unwrap_or(x).dtype())
    }
}

impl From<Activation> for Epilogue<'_> {
    fn from(activation: Activation) -> Self {
        Self { activation, ..Self::default() }
    }
}

/// A sum and its layer norm.
#[derive(Debug, Clone)]
pub struct SumAndNorm {
    /// The sum: a transformer's residual stream.
    pub sum: Tensor,
    /// Its layer norm.
    pub normed: Tensor,
}
