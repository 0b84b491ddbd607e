//! The soft Dice loss.

use super::logits::{StableLogits, check_masks, sum_pixels, widen};
use candle_core::{Result, Tensor};

/// Soft Dice loss, a scalar: `1 − (2 Σ p·t + s) / (Σ p² + Σ t² + s)` with `p = σ(logits)`, for each
/// mask of `[N, 1, M, M]`, then averaged.
///
/// The squared denominator, and the smoothing in numerator and denominator, are the official program's
/// (MONAI's Dice with `sigmoid` and `squared_pred`, `s = 1e-5`). An empty target is not special:
/// its loss is near 1 unless the prediction is empty to within `s` as well.
///
/// # Errors
/// When `target` differs from `logits` in shape or type, or they are empty.
pub fn soft_dice(logits: &Tensor, target: &Tensor, smoothing: f64) -> Result<Tensor> {
    check_masks(logits, target)?;
    dice_of(&StableLogits::new(logits)?, &widen(target)?, smoothing)
}

pub(super) fn dice_of(logits: &StableLogits, target: &Tensor, smoothing: f64) -> Result<Tensor> {
    let probability = logits.sigmoid()?;
    let overlap = sum_pixels(&(&probability * target)?)?;
    let sizes = (sum_pixels(&probability.sqr()?)? + sum_pixels(&target.sqr()?)?)?;
    let dice = (overlap.affine(2.0, smoothing)? / (sizes + smoothing)?)?;
    dice.affine(-1.0, 1.0)?.mean_all()
}
