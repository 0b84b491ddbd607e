//! Consistency between predictions of the same slice in several views.

use super::logits::{StableLogits, widen};
use crate::Error;
use candle_core::{Result, Tensor};

/// Disagreement of `views` predictions of the same slices: the Kullback-Leibler divergence of each
/// from the mean probability `p̄` of a pixel, averaged over views, slices and pixels. A scalar, 0 where
/// all agree. This is CSDG's consistency (Ouyang et al., IEEE TMI 2022), each class on its own, with
/// `p̄` detached from the graph, so that the gradient by a logit is `σ(x) − p̄` over their number.
///
/// `logits` is `[V·N, L, H, W]`: all slices in the first view, then in the second, and so on.
///
/// # Errors
/// When there are fewer than two views, or their number does not divide that of the logits.
pub fn view_consistency(logits: &Tensor, views: usize) -> Result<Tensor> {
    let predictions = logits.dims().first().copied().unwrap_or(0);
    if views < 2 || predictions == 0 || !predictions.is_multiple_of(views) {
        return Err(candle_core::Error::wrap(Error::Shape {
            what: "mask logits of the same slices in two or more views",
            expected: vec![views.max(2)],
            found: logits.dims().to_vec(),
        }));
    }
    let stable = StableLogits::new(logits)?;
    let probability = stable.sigmoid()?.detach();
    let slices = predictions / views;
    let mean = (0..views).try_fold(None, |sum: Option<Tensor>, view| {
        let one = probability.narrow(0, view * slices, slices)?;
        Ok::<_, candle_core::Error>(Some(match sum {
            Some(sum) => (sum + one)?,
            None => one,
        }))
    })?;
    let Some(mean) = mean else { return probability.mean_all() };
    let mean = (mean / views as f64)?;
    let target = Tensor::cat(&vec![&mean; views], 0)?;
    let cross_entropy = stable.cross_entropy(&target)?.mean_all()?;
    cross_entropy - entropy(&widen(&mean)?)?.mean_all()?
}

/// Entropy of a Bernoulli variable, in nats.
fn entropy(p: &Tensor) -> Result<Tensor> {
    // The smallest normal number keeps p·ln(p) at 0 where p is 0.
    let part = |p: &Tensor| p * p.maximum(f64::from(f32::MIN_POSITIVE))?.log()?;
    let q = p.affine(-1.0, 1.0)?;
    (part(p)? + part(&q)?)?.neg()
}
