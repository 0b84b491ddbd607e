//! Cross-entropy plus Dice of fine-tuned SAMs: DAPSAM's over sigmoids, SAMed's over a softmax.

use super::logits::{StableLogits, check_masks, widen};
use crate::Error;
use candle_core::{DType, Result, Tensor};

/// Weight of the cross-entropy in both programs.
const CE_WEIGHT: f64 = 0.2;

/// Weight of the Dice loss in both programs.
const DICE_WEIGHT: f64 = 0.8;

/// Lower bound of logarithms in PyTorch's `binary_cross_entropy`.
const LOG_BOUND: f64 = -100.0;

/// A weighted sum of cross-entropy and Dice loss, scalars.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CeDice {
    /// `0.2 · ce + 0.8 · dice`.
    pub total: Tensor,
    /// Cross-entropy.
    pub ce: Tensor,
    /// Dice loss.
    pub dice: Tensor,
}

impl CeDice {
    fn new(ce: Tensor, dice: Tensor) -> Result<Self> {
        Ok(Self { total: ((&ce * CE_WEIGHT)? + (&dice * DICE_WEIGHT)?)?, ce, dice })
    }
}

/// DAPSAM's loss of `logits [B, K, H, W]` for `target`, of the same shape and type, 0 or 1: binary
/// cross-entropy and Dice of each class, summed over the classes.
///
/// Dice is `1 − (2 Σ p·t + 1) / (Σ p + Σ t + 1)` over the whole batch. The official program takes the
/// sigmoid first: logarithms are bounded by −100, and where the sigmoid rounds to 1 (f32: logits above
/// 16.6) the cross-entropy of background is that bound, without a gradient. Otherwise it is computed
/// from the logits, without loss of precision.
///
/// # Errors
/// When `target` differs from `logits` in shape or type, or they are empty.
pub fn sigmoid_ce_dice(logits: &Tensor, target: &Tensor) -> Result<CeDice> {
    check_masks(logits, target)?;
    let (stable, target) = (StableLogits::new(logits)?, widen(target)?);
    let bounded = |log: Tensor| log.maximum(LOG_BOUND);
    let probability = stable.sigmoid()?;
    let foreground = bounded(stable.log_sigmoid()?)?;
    let background = bounded(stable.log_one_minus_sigmoid()?)?;
    let bound = background.ones_like()?.affine(LOG_BOUND, 0.0)?.detach();
    let background = stable.saturated()?.where_cond(&bound, &background)?;
    let pixels = ((&target * foreground)? + (target.affine(-1.0, 1.0)? * background)?)?;
    // The mean over the pixels of a class, summed over the classes.
    let classes = logits.dim(1)?;
    let ce = (pixels.mean_all()? * -(classes as f64))?;
    let sum = |t: &Tensor| sum_of_classes(t);
    let overlap = sum(&(&probability * &target)?)?;
    let sizes = (sum(&probability)? + sum(&target)?)?;
    CeDice::new(ce, dice_loss(&overlap, &sizes, 1.0)?.sum_all()?)
}

/// SAMed's loss of `logits [B, K, H, W]` for the integer `labels [B, H, W]`, below `K`: cross-entropy of
/// the softmax over classes, and Dice averaged over all classes, background included.
///
/// Dice is `1 − (2 Σ p·t + s) / (Σ p² + Σ t² + s)` over the whole batch, `s = 1e-5`.
///
/// # Errors
/// When shapes do not fit, a label is `K` or above, or there are no pixels.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use desam_metrics::loss::softmax_ce_dice;
///
/// # fn main() -> candle_core::Result<()> {
/// // Two classes, two pixels, both almost certainly right.
/// let logits = Tensor::new(&[[[[9f32, -9.0]], [[-9.0, 9.0]]]], &Device::Cpu)?;
/// let labels = Tensor::new(&[[[0u8, 1]]], &Device::Cpu)?;
/// assert!(softmax_ce_dice(&logits, &labels)?.total.to_scalar::<f32>()? < 1e-4);
/// # Ok(())
/// # }
/// ```
pub fn softmax_ce_dice(logits: &Tensor, labels: &Tensor) -> Result<CeDice> {
    let one_hot = one_hot(logits, labels)?;
    let logits = widen(logits)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    let log = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(1)?.log()?)?;
    let probability = log.exp()?;
    let ce = (&log * &one_hot)?.sum(1)?.mean_all()?.neg()?;
    let overlap = sum_of_classes(&(&probability * &one_hot)?)?;
    let sizes = (sum_of_classes(&probability.sqr()?)? + sum_of_classes(&one_hot)?)?;
    CeDice::new(ce, dice_loss(&overlap, &sizes, 1e-5)?.mean_all()?)
}

/// `1 − (2 overlap + s) / (sizes + s)`.
fn dice_loss(overlap: &Tensor, sizes: &Tensor, smoothing: f64) -> Result<Tensor> {
    (overlap.affine(2.0, smoothing)? / (sizes + smoothing)?)?.affine(-1.0, 1.0)
}

/// Sum over batch and pixels, `[B, K, H, W]` → `[K]`; rows first, which keeps rounding small.
fn sum_of_classes(t: &Tensor) -> Result<Tensor> {
    t.sum(3)?.sum(2)?.sum(0)
}

/// One-hot encoding of `labels`, of the shape of `logits`.
fn one_hot(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (b, classes, height, width) = logits.dims4()?;
    let wrong = |found: &Tensor| {
        candle_core::Error::wrap(Error::Shape {
            what: "labels [B, H, W], for logits [B, K, H, W]",
            expected: vec![b, height, width],
            found: found.dims().to_vec(),
        })
    };
    if labels.dims() != [b, height, width] {
        return Err(wrong(labels));
    }
    if labels.elem_count() == 0 || classes == 0 {
        let found = logits.dims().to_vec();
        return Err(candle_core::Error::wrap(Error::Empty { what: "logits and labels", found }));
    }
    let labels = labels.to_dtype(DType::U32)?;
    let largest = labels.flatten_all()?.max(0)?.to_scalar::<u32>()?;
    if largest as usize >= classes {
        candle_core::bail!("label {largest}: the logits have {classes} classes, from 0");
    }
    let class = |k: usize| labels.eq(k as u32);
    let masks = (0..classes).map(class).collect::<Result<Vec<_>>>()?;
    Tensor::stack(&masks, 1)?.to_dtype(widen(logits)?.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn scalar(t: &Tensor) -> f64 {
        t.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn two_pixels_by_hand() {
        // Sigmoids ½ and σ(ln 3) = ¾, foreground the first pixel: ce = (ln 2 + ln 4) / 2, dice =
        // 1 - (2·½ + 1) / (1.25 + 1 + 1).
        let logits = Tensor::new(&[[[[0f64, 3f64.ln()]]]], &Device::Cpu).unwrap();
        let target = Tensor::new(&[[[[1f64, 0.0]]]], &Device::Cpu).unwrap();
        let loss = sigmoid_ce_dice(&logits, &target).unwrap();
        let (ce, dice) = (1.5 * 2f64.ln(), 1.0 - 2.0 / 3.25);
        assert!((scalar(&loss.ce) - ce).abs() < 1e-12);
        assert!((scalar(&loss.dice) - dice).abs() < 1e-12);
        assert!((scalar(&loss.total) - 0.2 * ce - 0.8 * dice).abs() < 1e-12);
        // The same as two classes of which one is decided by ln 3: probabilities ½ ½ and ¼ ¾.
        let logits = Tensor::new(&[[[[0f64, 0.0]], [[0.0, 3f64.ln()]]]], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[[[0u8, 1]]], &Device::Cpu).unwrap();
        let loss = softmax_ce_dice(&logits, &labels).unwrap();
        let ce = (2f64.ln() + (4.0f64 / 3.0).ln()) / 2.0;
        // Σp² are ¼ + 1/16 and ¼ + 9/16, overlaps ½ and ¾, one pixel each.
        let s = 1e-5;
        let first = 1.0 - (1.0 + s) / (0.3125 + 1.0 + s);
        let second = 1.0 - (1.5 + s) / (0.8125 + 1.0 + s);
        assert!((scalar(&loss.ce) - ce).abs() < 1e-12);
        assert!((scalar(&loss.dice) - (first + second) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn saturated_logits_have_the_bound_and_no_gradient() {
        // PyTorch: binary_cross_entropy(sigmoid(x), y) in f32 is 100 for x = 20, y = 0, and 20 and
        // 100 for x = -20 and -200, y = 1.
        let logits = Var::new(&[[[[20f32, -20.0, -200.0]]]], &Device::Cpu).unwrap();
        let target = Tensor::new(&[[[[0f32, 1.0, 1.0]]]], &Device::Cpu).unwrap();
        let loss = sigmoid_ce_dice(&logits, &target).unwrap();
        assert!((scalar(&loss.ce) - 220.0 / 3.0).abs() < 1e-4);
        let grads = loss.total.backward().unwrap();
        let grad = grads.get(&logits).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(grad[0].abs() < 1e-6 && grad[2].abs() < 1e-6, "{grad:?}");
        // 0.2 · (σ - 1) / 3 for the pixel in between.
        assert!((grad[1] + 0.2 / 3.0).abs() < 1e-6, "{grad:?}");
    }

    #[test]
    fn gradients_match_finite_differences() {
        let numbers: Vec<f64> = (0..2 * 3 * 4).map(|i| f64::from(i * 7 % 12) / 4.0 - 1.4).collect();
        let tensor = |v: &[f64]| Tensor::from_slice(v, (2, 3, 2, 2), &Device::Cpu).unwrap();
        let target: Vec<f64> = (0..24).map(|i| f64::from(u8::from(i % 5 < 2))).collect();
        let target = tensor(&target);
        let labels = Tensor::new(&[[[0u8, 1], [2, 0]], [[1, 1], [0, 2]]], &Device::Cpu).unwrap();
        let losses: [&dyn Fn(&Tensor) -> Tensor; 2] =
            [&|x| sigmoid_ce_dice(x, &target).unwrap().total, &|x| {
                softmax_ce_dice(x, &labels).unwrap().total
            }];
        for loss in losses {
            let var = Var::from_tensor(&tensor(&numbers)).unwrap();
            let grads = loss(var.as_tensor()).backward().unwrap();
            let found = grads.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for (i, found) in found.iter().enumerate() {
                let at = |step: f64| {
                    let mut moved = numbers.clone();
                    moved[i] += step;
                    scalar(&loss(&tensor(&moved)))
                };
                let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((found - expected).abs() < 1e-8, "{i}: {found} against {expected}");
            }
        }
    }

    #[test]
    fn shapes_and_labels_that_do_not_fit_are_refused() {
        let logits = Tensor::zeros((1, 2, 1, 2), DType::F32, &Device::Cpu).unwrap();
        let labels = |v: &[[[u8; 2]; 1]; 1]| Tensor::new(v, &Device::Cpu).unwrap();
        let error = softmax_ce_dice(&logits, &labels(&[[[0, 2]]])).unwrap_err().to_string();
        assert!(error.contains("label 2"), "{error}");
        let error = softmax_ce_dice(&logits, &logits).unwrap_err().to_string();
        assert!(error.contains("[B, H, W]"), "{error}");
        let other = Tensor::zeros((1, 1, 1, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(sigmoid_ce_dice(&logits, &other).is_err());
    }
}
