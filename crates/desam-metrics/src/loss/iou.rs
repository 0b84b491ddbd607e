//! Losses of the predicted IoU, and its target.

use super::logits::{check_masks, check_pair, sum_pixels, widen};
use candle_core::{Result, Tensor};

const WHAT: &str = "IoU target [N, L], as the predicted IoU";

/// Mean squared error, a scalar (paper, Eq. 1).
///
/// # Errors
/// When the two differ in shape or type, or they are empty.
pub fn mse(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    check_pair(WHAT, prediction, target)?;
    (widen(prediction)? - widen(target)?)?.sqr()?.mean_all()
}

/// Mean absolute error, a scalar (the official program's default). Where prediction and target
/// are equal its gradient is 0, as in PyTorch; candle's `abs` would say 1.
///
/// # Errors
/// When the two differ in shape or type, or they are empty.
pub fn l1(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    check_pair(WHAT, prediction, target)?;
    let difference = (widen(prediction)? - widen(target)?)?;
    let sign = difference.detach().sign()?;
    (difference * sign)?.mean_all()
}

/// IoU (Jaccard index) of predicted masks, logits above 0, with the truth, `[N, L]` in the logits' type,
/// detached: `|A ∩ B| / |A ∪ B|`, and 1 where both are empty, because the mask is right then.
///
/// # Errors
/// When `target` differs from `logits [N, L, M, M]` in shape or type, or they are empty.
pub fn mask_iou(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    check_masks(logits, target)?;
    let drawn = logits.detach().gt(0f64)?;
    let truth = target.gt(0.5f64)?;
    let count = |mask: Tensor| sum_pixels(&mask.to_dtype(candle_core::DType::F64)?);
    // For values 0 and 1 the product is the intersection, the maximum the union.
    let both = count((&drawn * &truth)?)?;
    let either = count(drawn.maximum(&truth)?)?;
    let none = either.eq(0f64)?.to_dtype(candle_core::DType::F64)?;
    ((both + &none)? / (either + none)?)?.to_dtype(logits.dtype())
}
