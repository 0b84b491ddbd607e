//! PRIM for many prompts of one image on a GPU: all that are given at once.

use crate::Prim;
use candle_core::{Result, Tensor};
use desam_core::{ImageContext, PromptEmbedding, PromptReader, PromptReading};
use desam_nn::ops::layout::transpose_last_two;

/// Reads prompts of one image together. Whoever calls it bounds how many: each has an image of its own,
/// `G·G·E` numbers, 2 MiB at SAM's size in bf16, and some of these are held at a time.
///
/// How a GPU's library cuts a product depends on its size, so a prompt's last bits may depend on how
/// many it is read with. The same prompts in the same order give the same bits.
pub(super) struct BatchReader<'a> {
    pub(super) prim: &'a Prim,
    pub(super) context: &'a ImageContext,
}

impl PromptReader for BatchReader<'_> {
    fn read(&mut self, prompts: &PromptEmbedding) -> Result<PromptReading> {
        let PromptEmbedding { sparse, dense } = prompts;
        let (_, e, h, w) = self.context.embedding.dims4()?;
        let n = dense.dim(0)?;
        // Repeated without a copy, it is the same for all; one prompt is always alone with its image.
        let same = n == 1 || dense.stride().first() == Some(&0);
        if !same || sparse.dim(0)? != n || dense.dims()[1..] != [e, h, w] {
            return self.prim.read(self.context, prompts);
        }
        let rows = |t: &Tensor| transpose_last_two(&t.flatten_from(2)?);
        let image = (&self.context.embedding + dense.narrow(0, 0, 1)?)?;
        let tokens = self.prim.tokens(sparse)?;
        let positions = rows(&self.context.position)?;
        let out = self.prim.transformer.forward_of_one(&rows(&image)?, &positions, &tokens)?;
        Ok(PromptReading {
            iou_all: self.prim.iou(&out.tokens)?,
            mask_tokens: out.tokens.narrow(1, 1, self.prim.mask_tokens()?)?,
            // A view: of many prompts few are drawn, and only theirs are put in order then.
            mask_embedding: out.image.reshape((n, h, w, e))?.permute((0, 3, 1, 2))?,
        })
    }
}
