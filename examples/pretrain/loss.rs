//! SAM's training loss (its paper, appendix A, "Training algorithm").

use super::model::Answers;
use desam::candle::{D, DType, Result, Tensor};

/// Weights of the focal loss beside Dice's 1 and of the IoU head's.
const FOCAL: f64 = 20.0;

/// Share of the foreground in the focal loss, and its exponent is 2 (Lin et al., as SAM's).
const ALPHA: f64 = 0.25;

/// The loss with its parts, means over prompts.
pub(crate) struct Loss {
    pub(crate) total: Tensor,
    /// Of the first mask.
    pub(crate) first: Tensor,
    /// Of the best of the other masks.
    pub(crate) best: Tensor,
    /// Squared error of the predicted IoU.
    pub(crate) iou: Tensor,
}

/// Focal and Dice of the first mask and of the best of the others, and the error of the predicted
/// IoU of all: masks `[N, K, M, M]`, targets `[N, 1, M, M]`.
///
/// SAM learns the first from prompts of several parts and the others from single ones; here every
/// prompt teaches both.
pub(crate) fn loss(answers: &Answers, targets: &Tensor) -> Result<Loss> {
    let each = per_mask(&answers.masks, targets)?;
    let others = each.dim(1)? - 1;
    let first = each.narrow(1, 0, 1)?.mean_all()?;
    let best = each.narrow(1, 1, others)?.min_keepdim(D::Minus1)?.mean_all()?;
    let real = overlap(&answers.masks, targets)?;
    let iou = (&answers.iou - real)?.sqr()?.mean_all()?;
    Ok(Loss { total: ((&first + &best)? + &iou)?, first, best, iou })
}

/// `20 · focal + Dice` of every mask, `[N, K]`.
fn per_mask(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    // With z the logit of being wrong: the error is σ(z), the cross-entropy log(1 + exp(z)).
    let sign = targets.affine(-2.0, 1.0)?;
    let z = logits.broadcast_mul(&sign)?;
    let log_term = z.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()?;
    let positive = z.relu()?;
    let wrong = ((&z - &positive)? - &log_term)?.exp()?;
    let entropy = (&positive + &log_term)?;
    // 1 - α for background, α for foreground.
    let share = targets.affine(2.0 * ALPHA - 1.0, 1.0 - ALPHA)?;
    let focal = (wrong.sqr()? * entropy)?.broadcast_mul(&share)?;
    let probability = wrong.broadcast_mul(&sign)?.broadcast_add(targets)?;
    let sum = |t: &Tensor| t.sum(D::Minus1)?.sum(D::Minus1);
    let both = sum(&probability.broadcast_mul(targets)?)?.affine(2.0, 1.0)?;
    let sizes = sum(&probability)?.broadcast_add(&sum(targets)?)?.affine(1.0, 1.0)?;
    let dice = (both / sizes)?.affine(-1.0, 1.0)?;
    let pixels = (logits.dim(2)? * logits.dim(3)?) as f64;
    sum(&focal)?.affine(FOCAL / pixels, 0.0)? + dice
}

/// IoU of the masks (logits above 0) with the targets, without a gradient: `[N, K]`.
pub(crate) fn overlap(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let masks = logits.detach().gt(0.0)?.to_dtype(DType::F32)?;
    let sum = |t: &Tensor| t.sum(D::Minus1)?.sum(D::Minus1);
    let both = sum(&masks.broadcast_mul(targets)?)?;
    let either = (sum(&masks)?.broadcast_add(&sum(targets)?)? - &both)?;
    both / either.maximum(1.0)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam::candle::Device;

    #[test]
    fn by_hand() {
        // Two masks of 1 × 2 pixels, logits ln 3: probabilities ¾, and ¼ for -ln 3.
        let l = 3f32.ln();
        let masks = Tensor::new(&[l, -l, -l, -l], &Device::Cpu).unwrap();
        let masks = masks.reshape((1, 2, 1, 2)).unwrap();
        let target =
            Tensor::new(&[1f32, 0.0], &Device::Cpu).unwrap().reshape((1, 1, 1, 2)).unwrap();
        let each = per_mask(&masks, &target).unwrap().to_vec2::<f32>().unwrap();
        // First: both wrong by ¼, cross-entropy ln 4/3; focal (α + 1 - α)/16 · ln 4/3 over 2
        // pixels; Dice 1 - (1.5 + 1) / (1 + 1 + 1).
        let entropy = (4f32 / 3.0).ln();
        let first = 20.0 * entropy / 16.0 / 2.0 + 1.0 - 2.5 / 3.0;
        assert!((each[0][0] - first).abs() < 1e-5, "{each:?} {first}");
        // Second: the foreground is wrong by ¾, cross-entropy ln 4; Dice 1 - 1.5 / 2.5.
        let focal = 0.25 * 9.0 / 16.0 * 4f32.ln() + 0.75 / 16.0 * entropy;
        let second = 20.0 * focal / 2.0 + 1.0 - 1.5 / 2.5;
        assert!((each[0][1] - second).abs() < 1e-5, "{each:?} {second}");
        let iou = overlap(&masks, &target).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(iou, [[1.0, 0.0]]);
    }
}
