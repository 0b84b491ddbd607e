//! What training minimises.

use crate::MaskPrediction;
use candle_core::{Result, Tensor};

/// What a prediction is compared with.
#[derive(Debug, Clone)]
pub struct LossTarget {
    /// Ground truth, 0 or 1, `[N, 1, M, M]`, in the logits' type.
    pub mask: Tensor,
    /// What the IoU head should say, `[N, 1]`; `None` where the mode does not train it.
    pub iou: Option<Tensor>,
}

/// One named part of a loss.
#[derive(Debug, Clone)]
pub struct LossTerm {
    /// `dice`, `bce`, `mse`, …
    pub name: &'static str,
    /// Its weight in the total.
    pub weight: f64,
    /// Its value before weighting, a scalar.
    pub value: Tensor,
}

/// A loss with its parts.
#[derive(Debug, Clone)]
pub struct LossValue {
    /// The weighted sum, a scalar; what `backward` starts from.
    pub total: Tensor,
    /// The parts, in a fixed order.
    pub terms: Vec<LossTerm>,
}

/// A differentiable loss on masks and predicted IoU.
pub trait Loss: Send + Sync {
    /// Compares a prediction with its target.
    ///
    /// # Errors
    /// When shapes differ or the target lacks a part that this loss needs.
    fn forward(&self, prediction: &MaskPrediction, target: &LossTarget) -> Result<LossValue>;
}
