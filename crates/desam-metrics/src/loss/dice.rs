//! The soft Dice loss.

use super::DiceReduction;
use super::logits::{StableLogits, check_masks, sum_pixels, widen};
use candle_core::{Result, Tensor};

/// Soft Dice loss, a scalar: `1 − (2 Σ p·t + s) / (Σ p² + Σ t² + s)` with `p = σ(logits)`, for each
/// mask of `[N, L, M, M]`, then averaged.
///
/// The squared denominator, and the smoothing in numerator and denominator, are the official program's
/// (MONAI's Dice with `sigmoid` and `squared_pred`, `s = 1e-5`). An empty target is not special:
/// its loss is near 1 unless the prediction is empty to within `s` as well.
///
/// # Errors
/// When `target` differs from `logits` in shape or type, or they are empty.
pub fn soft_dice(logits: &Tensor, target: &Tensor, smoothing: f64) -> Result<Tensor> {
    check_masks(logits, target)?;
    dice_of(&StableLogits::new(logits)?, &widen(target)?, DiceReduction::Mask, smoothing)
}

/// The soft Dice loss of a whole batch: the three sums of [`soft_dice`] run over all masks of a class
/// together, and the loss is the mean over classes (nnU-Net's batch Dice). A batch with slices that hold nothing and slices that do has one loss, in
/// which foreground on the empty ones counts.
///
/// # Errors
/// As [`soft_dice`].
pub fn batch_soft_dice(logits: &Tensor, target: &Tensor, smoothing: f64) -> Result<Tensor> {
    check_masks(logits, target)?;
    dice_of(&StableLogits::new(logits)?, &widen(target)?, DiceReduction::Batch, smoothing)
}

pub(super) fn dice_of(
    logits: &StableLogits,
    target: &Tensor,
    reduction: DiceReduction,
    smoothing: f64,
) -> Result<Tensor> {
    let probability = logits.sigmoid()?;
    let sum = |pixels: &Tensor| match reduction {
        DiceReduction::Mask => sum_pixels(pixels),
        DiceReduction::Batch => sum_pixels(pixels)?.sum(0),
    };
    let overlap = sum(&(&probability * target)?)?;
    let sizes = (sum(&probability.sqr()?)? + sum(&target.sqr()?)?)?;
    let dice = (overlap.affine(2.0, smoothing)? / (sizes + smoothing)?)?;
    dice.affine(-1.0, 1.0)?.mean_all()
}
