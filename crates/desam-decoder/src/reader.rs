//! Inference over many prompts of one image: which reader a decoder gets.

mod absorbed;
mod batched;

use crate::Prim;
use absorbed::AbsorbedReader;
use batched::BatchedReader;
use candle_core::{DType, Result};
use desam_core::{ImageContext, MaskDecoder, PromptReader, SequentialReader};
use desam_nn::gpu::on_accelerator;

/// The fastest reader for a `decoder` whose prompts are encoded by `prim`: batched on a GPU, absorbed
/// in f32 on the CPU, else one prompt after the other.
pub(crate) fn reader<'a>(
    prim: &'a Prim,
    decoder: &'a dyn MaskDecoder,
    context: &'a ImageContext,
) -> Result<Box<dyn PromptReader + 'a>> {
    let embedding = &context.embedding;
    let one_image = embedding.dim(0)? == 1;
    let f32_on_cpu = embedding.device().is_cpu() && embedding.dtype() == DType::F32;
    // Both fast readers share what follows from the image alone, so they need a single one; the
    // absorbed projections exist in f32 on the CPU only.
    Ok(if one_image && on_accelerator(embedding) {
        Box::new(BatchedReader { prim, context })
    } else if one_image && f32_on_cpu {
        Box::new(AbsorbedReader::new(prim, context))
    } else {
        Box::new(SequentialReader { decoder, context })
    })
}

#[cfg(test)]
mod tests;
