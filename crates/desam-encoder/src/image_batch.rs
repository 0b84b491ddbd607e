//! Batches of images through an image encoder.

use candle_core::{Result, Tensor, bail};
use desam_core::{EncoderSpec, ImageFeatures};
use desam_nn::gpu::on_accelerator;
use rayon::prelude::*;

/// Tokens in the blocks at a time on the CPU: one image of 1024 pixels, 16 of 256. A large image keeps
/// all threads busy within each op; several small ones run in parallel, because their ops are too short
/// for all threads. The bound is fixed so that memory grows neither with the batch nor with the machine.
const MAX_TOKENS_IN_FLIGHT: usize = 4096;

/// Refuses pixels that are not `[B, 3, S, S]`; returns `B`.
pub(crate) fn check_pixels(spec: &EncoderSpec, pixels: &Tensor) -> Result<usize> {
    let side = spec.input_side;
    match pixels.dims() {
        &[batch, 3, height, width] if height == side && width == side && batch > 0 => Ok(batch),
        other => {
            bail!("image encoder: expected pixels [B, 3, {side}, {side}], found {other:?}")
        }
    }
}

/// `forward` of pixels `[B, 3, S, S]`: of the whole batch if it is `tracked` or on a GPU, of several
/// images in parallel otherwise.
///
/// # Errors
/// When the shape is another, or `forward` fails.
pub(crate) fn encode_images(
    spec: &EncoderSpec,
    pixels: &Tensor,
    tracked: bool,
    forward: impl Fn(&Tensor) -> Result<ImageFeatures> + Sync,
) -> Result<ImageFeatures> {
    let batch = check_pixels(spec, pixels)?;
    // With gradients the batch stays together, so that each weight gradient is one matrix
    // multiplication. A GPU is busy with one image of 1024 pixels, or with a batch of smaller ones.
    if on_accelerator(pixels) || !pixels.device().is_cpu() || tracked {
        return forward(pixels);
    }
    // Whole images run in parallel, each with the same ops as alone: its bits do not depend on the
    // batch.
    let grid = spec.grid();
    let at_once = (MAX_TOKENS_IN_FLIGHT / (grid * grid).max(1)).max(1);
    let mut parts = Vec::with_capacity(batch);
    for start in (0..batch).step_by(at_once) {
        let images = start..batch.min(start + at_once);
        let one = |i: usize| forward(&pixels.narrow(0, i, 1)?);
        parts.extend(images.into_par_iter().map(one).collect::<Result<Vec<_>>>()?);
    }
    ImageFeatures::cat(&parts)
}
