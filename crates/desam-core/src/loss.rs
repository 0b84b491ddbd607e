//! The loss trait, its target and its value.

use crate::MaskPrediction;
use candle_core::{Result, Tensor};

/// Target of a loss: the ground truth.
#[derive(Debug, Clone)]
pub struct LossTarget {
    /// Ground truth, 0 or 1, a plane a class, `[N, L, M, M]`, in the logits' type.
    pub mask: Tensor,
    /// Target of the predicted IoU, `[N, L]`; `None` where the mode does not train it.
    pub iou: Option<Tensor>,
}

/// A named term of a loss.
#[derive(Debug, Clone)]
pub struct LossTerm {
    /// `dice`, `bce`, `mse`, …
    pub name: &'static str,
    /// Its weight in the total.
    pub weight: f64,
    /// Its value before weighting, a scalar.
    pub value: Tensor,
}

/// Value of a loss, with its terms.
#[derive(Debug, Clone)]
pub struct LossValue {
    /// The weighted sum, a scalar; what `backward` starts from.
    pub total: Tensor,
    /// The terms, in a fixed order.
    pub terms: Vec<LossTerm>,
}

/// A differentiable loss on masks and predicted IoU.
pub trait Loss: Send + Sync {
    /// Computes the loss of a prediction.
    ///
    /// # Errors
    /// When shapes differ or the target lacks the IoU that this loss needs.
    fn forward(&self, prediction: &MaskPrediction, target: &LossTarget) -> Result<LossValue>;
}
