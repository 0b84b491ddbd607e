//! Numerically stable sigmoid and cross-entropy from one shared exponential and logarithm.

use crate::Error;
use candle_core::{D, DType, Result, Tensor};

/// `x`, `max(x, 0)` and `log(1 + exp(−|x|))`, from which both the sigmoid and the cross-entropy
/// follow without an exponential of anything positive.
///
/// At `x = 0` candle uses one-sided derivatives (`relu' = 1`, `|·|' = 1`), which add up to the exact
/// ones of the smooth functions below.
#[derive(Debug)]
pub(super) struct StableLogits {
    x: Tensor,
    positive: Tensor,
    log_term: Tensor,
}

impl StableLogits {
    pub(super) fn new(logits: &Tensor) -> Result<Self> {
        let x = widen(logits)?;
        let positive = x.relu()?;
        let log_term = ((x.abs()?.neg()?.exp()? + 1.0)?).log()?;
        Ok(Self { x, positive, log_term })
    }

    /// `σ(x) = exp(min(x, 0) − log(1 + exp(−|x|)))`, accurate in the relative sense down to the
    /// smallest number of the type, and so is its gradient.
    pub(super) fn sigmoid(&self) -> Result<Tensor> {
        self.log_sigmoid()?.exp()
    }

    /// `log σ(x) = min(x, 0) − log(1 + exp(−|x|))`.
    pub(super) fn log_sigmoid(&self) -> Result<Tensor> {
        (&self.x - &self.positive)? - &self.log_term
    }

    /// `log(1 − σ(x)) = −max(x, 0) − log(1 + exp(−|x|))`.
    pub(super) fn log_one_minus_sigmoid(&self) -> Result<Tensor> {
        (&self.positive + &self.log_term)?.neg()
    }

    /// Where `σ(x)` rounds to 1 in the type of `x`, 1; elsewhere 0.
    pub(super) fn saturated(&self) -> Result<Tensor> {
        (self.x.detach().neg()?.exp()? + 1.0)?.eq(1.0)
    }

    /// `max(x, 0) − x·t + log(1 + exp(−|x|))`, element by element.
    pub(super) fn cross_entropy(&self, target: &Tensor) -> Result<Tensor> {
        (&self.positive - (&self.x * target)?)? + &self.log_term
    }
}

/// Casts f16 and bf16 to f32: sums over a mask exceed their precision.
pub(super) fn widen(tensor: &Tensor) -> Result<Tensor> {
    match tensor.dtype() {
        DType::F16 | DType::BF16 => tensor.to_dtype(DType::F32),
        _ => Ok(tensor.clone()),
    }
}

/// Sum over the two image dimensions, `[N, C, H, W] → [N, C]`; row sums first, which keeps the
/// rounding error of a large mask in f32 near that of a pairwise sum.
pub(super) fn sum_pixels(tensor: &Tensor) -> Result<Tensor> {
    tensor.sum(D::Minus1)?.sum(D::Minus1)
}

/// Logits and target of the same `[N, C, H, W]` and type, not empty.
pub(super) fn check_masks(logits: &Tensor, target: &Tensor) -> Result<()> {
    check_pair("mask target [N, L, M, M], as the logits", logits, target)?;
    if logits.rank() != 4 {
        return Err(candle_core::Error::wrap(Error::Shape {
            what: "mask logits [N, L, M, M]",
            expected: vec![logits.dims().first().copied().unwrap_or(1), 1, 0, 0],
            found: logits.dims().to_vec(),
        }));
    }
    Ok(())
}

/// Two tensors of one shape and type, not empty.
pub(super) fn check_pair(what: &'static str, prediction: &Tensor, target: &Tensor) -> Result<()> {
    if prediction.dims() != target.dims() {
        return Err(candle_core::Error::wrap(Error::Shape {
            what,
            expected: prediction.dims().to_vec(),
            found: target.dims().to_vec(),
        }));
    }
    if prediction.dtype() != target.dtype() {
        return Err(candle_core::Error::wrap(Error::Type {
            what,
            expected: prediction.dtype(),
            found: target.dtype(),
        }));
    }
    if prediction.elem_count() == 0 {
        let found = prediction.dims().to_vec();
        return Err(candle_core::Error::wrap(Error::Empty { what, found }));
    }
    Ok(())
}
