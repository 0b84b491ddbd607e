//! What PRIM's predicted IoU is trained with.

use super::logits::{check_pair, widen};
use candle_core::{Result, Tensor};

const WHAT: &str = "IoU target [N, 1], as the predicted IoU";

/// Mean square error, a scalar (paper, Eq. 1).
///
/// # Errors
/// When the two differ in shape or type, or there is nothing in them.
pub fn mse(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    check_pair(WHAT, prediction, target)?;
    (widen(prediction)? - widen(target)?)?.sqr()?.mean_all()
}

/// Mean absolute error, a scalar (the official program's default). Where prediction and target
/// are equal its gradient is 0, as in PyTorch; candle's `abs` would say 1.
///
/// # Errors
/// When the two differ in shape or type, or there is nothing in them.
pub fn l1(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    check_pair(WHAT, prediction, target)?;
    let difference = (widen(prediction)? - widen(target)?)?;
    let sign = difference.detach().sign()?;
    (difference * sign)?.mean_all()
}
