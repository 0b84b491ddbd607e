//! Binary cross-entropy on logits.

use super::logits::{StableLogits, check_masks, sum_pixels, widen};
use candle_core::{Result, Tensor};

/// Mean over all pixels of `max(x, 0) − x·t + log(1 + exp(−|x|))`: a scalar. Exact for logits of
/// any size, and so is the gradient `σ(x) − t` (candle's own loses both for large logits).
///
/// # Errors
/// When `target` differs from `logits` in shape or type, or they are empty.
pub fn bce_with_logits(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    check_masks(logits, target)?;
    bce_of(&StableLogits::new(logits)?, &widen(target)?)
}

pub(super) fn bce_of(logits: &StableLogits, target: &Tensor) -> Result<Tensor> {
    let pixels = logits.cross_entropy(target)?;
    sum_pixels(&pixels)?.sum_all()? / pixels.elem_count() as f64
}
