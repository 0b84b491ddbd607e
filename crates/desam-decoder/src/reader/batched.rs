//! PRIM for many prompts of one image on a GPU, all prompts of a call in one batch.

use crate::Prim;
use candle_core::{Result, Tensor};
use desam_core::{ImageContext, PromptEmbedding, PromptOutput, PromptReader};
use desam_nn::ops::layout::turned;

/// Batched inference over prompts of one image. The caller bounds the batch: each prompt has its own
/// image tokens, `G·G·E` values or 2 MiB at SAM's size in bf16, and a few copies of these are alive at
/// a time.
///
/// Not batch-invariant: how a GPU's library tiles a matrix multiplication depends on its size, so a
/// prompt's last bits may depend on how many it is batched with. The same prompts in the same order
/// give the same bits.
pub(super) struct BatchedReader<'a> {
    pub(super) prim: &'a Prim,
    pub(super) context: &'a ImageContext,
}

impl PromptReader for BatchedReader<'_> {
    fn encode_prompts(&mut self, prompts: &PromptEmbedding) -> Result<PromptOutput> {
        let PromptEmbedding { sparse, dense } = prompts;
        let (_, e, h, w) = self.context.embedding.dims4()?;
        let n = dense.dim(0)?;
        // Stride 0: broadcast without a copy, so the same for all prompts. A single prompt has none
        // to differ from.
        let same = n == 1 || dense.stride().first() == Some(&0);
        if !same || sparse.dim(0)? != n || dense.dims()[1..] != [e, h, w] {
            return self.prim.encode_prompts(self.context, prompts);
        }
        let rows = |t: &Tensor| turned(&t.flatten_from(2)?);
        let image = (&self.context.embedding + dense.narrow(0, 0, 1)?)?;
        let tokens = self.prim.tokens(sparse)?;
        let positions = rows(&self.context.position)?;
        let out = self.prim.transformer.forward_batched(&rows(&image)?, &positions, &tokens)?;
        Ok(PromptOutput {
            iou_all: self.prim.iou(&out.tokens)?,
            mask_tokens: out.tokens.narrow(1, 1, self.prim.mask_tokens()?)?,
            // A strided view: few of the prompts get a mask, and only theirs are copied to channels
            // first then.
            mask_embedding: out.image.reshape((n, h, w, e))?.permute((0, 3, 1, 2))?,
        })
    }
}
