//! Deep supervision: weights of the auxiliary heads, and their downsampled targets.

use crate::Error;
use candle_core::{Result, Tensor};

/// Weights of the mask head and of `coarser` auxiliary heads: each half of the one above, normalised to
/// a sum of 1, as in nnU-Net. nnU-Net drops its coarsest head, of five or six; PIMM over SAM's taps has
/// two in all, ⅔ and ⅓, and drops none.
pub fn supervision_weights(coarser: usize) -> Vec<f64> {
    let halves: Vec<f64> =
        (0..=coarser).map(|i| 0.5f64.powi(i32::try_from(i).unwrap_or(i32::MAX))).collect();
    let sum: f64 = halves.iter().sum();
    halves.into_iter().map(|w| w / sum).collect()
}

/// Target `[N, L, M, M]` downsampled to a coarser head's `side` by nearest-neighbour interpolation,
/// which keeps it 0 or 1: the top left pixel of each block, as in PyTorch.
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
