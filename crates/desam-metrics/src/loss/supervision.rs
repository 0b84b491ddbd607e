//! Deep supervision: coarser heads against coarser targets.

use crate::Error;
use candle_core::{Result, Tensor};

/// Weights of a mask and of `coarser` heads below it: each half of the one above, all adding up to
/// 1, as in nnU-Net. nnU-Net leaves out its coarsest head, of five or six; PIMM over SAM's taps has
/// two in all, ⅔ and ⅓, and leaves out none.
pub fn supervision_weights(coarser: usize) -> Vec<f64> {
    let halves: Vec<f64> =
        (0..=coarser).map(|i| 0.5f64.powi(i32::try_from(i).unwrap_or(i32::MAX))).collect();
    let sum: f64 = halves.iter().sum();
    halves.into_iter().map(|w| w / sum).collect()
}

/// `target [N, 1, M, M]` at a coarser head's `side`: the nearest pixel, which stays 0 or 1. Of the
/// block that a coarse pixel covers it is the first, top left, as PyTorch's nearest interpolation
/// has it.
///
/// # Errors
/// When `side` does not divide `M`.
pub fn coarser_target(target: &Tensor, side: usize) -> Result<Tensor> {
    let (n, channels, height, width) = target.dims4()?;
    if side == 0 || height % side != 0 || width % side != 0 {
        return Err(candle_core::Error::wrap(Error::Shape {
            what: "a coarser head's logits, whose side divides the target's",
            expected: vec![n, channels, height / 2, width / 2],
            found: vec![n, channels, side, side],
        }));
    }
    let (down, right) = (height / side, width / side);
    let blocks = target.reshape((n * channels * side, down * width))?;
    let rows =
        blocks.narrow(1, 0, width)?.contiguous()?.reshape((n * channels * side * side, right))?;
    rows.narrow(1, 0, 1)?.contiguous()?.reshape((n, channels, side, side))
}
