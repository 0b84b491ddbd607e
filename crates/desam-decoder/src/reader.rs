//! PRIM for many prompts of one image.

mod batch;

use crate::Prim;
use crate::two_way::{SharedImage, SharedOutput};
use batch::BatchReader;
use candle_core::{DType, Result, Tensor};
use desam_core::{
    ImageContext, MaskDecoder, OneByOne, PromptEmbedding, PromptReader, PromptReading,
};
use desam_nn::gpu::on_accelerator;

/// Prompts that are read together. Tokens are always as many, the last prompt's repeated where
/// there are fewer: so a prompt's bits do not depend on how many it is read with.
const GROUP: usize = 8;

/// Reads prompts of one image, f32 on the CPU. What the prompts share (they have the same dense
/// embedding unless they come with masks) is computed with the first of them.
pub(crate) struct Reader<'a> {
    prim: &'a Prim,
    context: &'a ImageContext,
    shared: Option<Shared>,
}

/// The image with a dense embedding added.
struct Shared {
    dense: Dense,
    image: SharedImage,
}

/// The numbers of a prompt's dense embedding: one a channel where all pixels have the same.
#[derive(PartialEq)]
struct Dense(Vec<f32>);

impl Dense {
    /// `dense [1, E, G, G]`.
    fn of(dense: &Tensor) -> Result<Self> {
        let same_everywhere = matches!(dense.stride(), [_, _, 0, 0]);
        let distinct = match same_everywhere && dense.elem_count() > 0 {
            true => dense.narrow(2, 0, 1)?.narrow(3, 0, 1)?,
            false => dense.clone(),
        };
        Ok(Self(distinct.flatten_all()?.to_vec1()?))
    }
}

/// What is known of a group of prompts.
struct Read {
    iou_all: Tensor,
    mask_tokens: Tensor,
    mask_embedding: Option<Tensor>,
}

/// A reader for a `decoder` that reads as `prim` does: a fast one where there is one.
pub(crate) fn reader<'a>(
    prim: &'a Prim,
    decoder: &'a dyn MaskDecoder,
    context: &'a ImageContext,
) -> Result<Box<dyn PromptReader + 'a>> {
    let embedding = &context.embedding;
    let one = embedding.dim(0)? == 1;
    let on_cpu = embedding.device().is_cpu() && embedding.dtype() == DType::F32;
    Ok(match () {
        () if one && on_accelerator(embedding) => Box::new(BatchReader { prim, context }),
        () if one && on_cpu => Box::new(Reader::new(prim, context)),
        () => Box::new(OneByOne { decoder, context }),
    })
}

impl<'a> Reader<'a> {
    pub(crate) fn new(prim: &'a Prim, context: &'a ImageContext) -> Self {
        Self { prim, context, shared: None }
    }

    /// What prompts with this `dense [1, E, G, G]` share.
    fn shared(&mut self, dense: &Tensor) -> Result<&SharedImage> {
        let key = Dense::of(dense)?;
        let shared = match self.shared.take().filter(|s| s.dense == key) {
            Some(shared) => shared,
            None => {
                let image = (&self.context.embedding + dense)?.flatten_from(2)?;
                let positions = self.context.position.flatten_from(2)?;
                Shared { dense: key, image: self.prim.transformer.share(&image, &positions)? }
            }
        };
        Ok(&self.shared.insert(shared).image)
    }

    fn group(&mut self, sparse: &Tensor, dense: &Tensor, keep_image: bool) -> Result<Read> {
        let (prim, n) = (self.prim, sparse.dim(0)?);
        let (_, e, h, w) = self.context.embedding.dims4()?;
        let last = sparse.narrow(0, n - 1, 1)?;
        let filled: Vec<&Tensor> = std::iter::once(sparse)
            .chain(std::iter::repeat_n(&last, GROUP.saturating_sub(n)))
            .collect();
        let tokens = prim.tokens(&Tensor::cat(&filled, 0)?)?;
        let shared = self.shared(dense)?;
        let out = prim.transformer.forward_shared(shared, &tokens, n, keep_image)?;
        let SharedOutput { tokens, image } = out;
        let image = image.map(|i| i.join()?.reshape((n, e, h, w))).transpose()?;
        Ok(Read {
            iou_all: prim.iou(&tokens)?.narrow(0, 0, n)?,
            mask_tokens: tokens.narrow(1, 1, prim.mask_tokens()?)?.narrow(0, 0, n)?,
            mask_embedding: image,
        })
    }

    fn groups(&mut self, prompts: &PromptEmbedding, keep_image: bool) -> Result<Vec<Read>> {
        let PromptEmbedding { sparse, dense } = prompts;
        let n = dense.dim(0)?;
        if sparse.dim(0)? != n || dense.dims()[1..] != self.context.embedding.dims()[1..] {
            candle_core::bail!(
                "prompts of {:?} and {:?} meet an image of {:?}",
                sparse.shape(),
                dense.shape(),
                self.context.embedding.shape()
            );
        }
        // Repeated without a copy, it is the same for all.
        let at_once = if dense.stride().first() == Some(&0) { GROUP } else { 1 };
        (0..n)
            .step_by(at_once)
            .map(|at| {
                let sparse = sparse.narrow(0, at, at_once.min(n - at))?;
                self.group(&sparse, &dense.narrow(0, at, 1)?, keep_image)
            })
            .collect()
    }
}

impl PromptReader for Reader<'_> {
    fn read(&mut self, prompts: &PromptEmbedding) -> Result<PromptReading> {
        let read = self.groups(prompts, true)?;
        let join = |pick: fn(&Read) -> Option<&Tensor>| {
            Tensor::cat(&read.iter().filter_map(pick).collect::<Vec<_>>(), 0)
        };
        Ok(PromptReading {
            iou_all: join(|r| Some(&r.iou_all))?,
            mask_tokens: join(|r| Some(&r.mask_tokens))?,
            mask_embedding: join(|r| r.mask_embedding.as_ref())?,
        })
    }

    fn iou(&mut self, prompts: &PromptEmbedding) -> Result<Tensor> {
        let read = self.groups(prompts, false)?;
        Tensor::cat(&read.iter().map(|r| &r.iou_all).collect::<Vec<_>>(), 0)?.narrow(1, 0, 1)
    }
}

#[cfg(test)]
mod tests;
