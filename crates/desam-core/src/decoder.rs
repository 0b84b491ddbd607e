//! The trained mask decoder's side of the meeting point.

use crate::{ImageFeatures, PromptEmbedding};
use candle_core::{Result, Tensor};

/// What a decoder computes once an image, whatever the prompt.
#[derive(Debug, Clone)]
pub struct ImageContext {
    /// The encoder's embedding, `[B, E, G, G]`.
    pub embedding: Tensor,
    /// Positional encoding of the grid, `[1, E, G, G]`.
    pub position: Tensor,
    /// A decoder's own prompt-independent maps, from the coarsest to the finest; may be empty.
    pub levels: Vec<Tensor>,
}

impl ImageContext {
    /// The context of image `index` alone, `B = 1`.
    pub fn image(&self, index: usize) -> Result<Self> {
        Ok(Self {
            embedding: self.embedding.narrow(0, index, 1)?,
            position: self.position.clone(),
            levels: self.levels.iter().map(|l| l.narrow(0, index, 1)).collect::<Result<_>>()?,
        })
    }
}

/// What a decoder has understood of `N` prompts before it draws a mask.
#[derive(Debug, Clone)]
pub struct PromptReading {
    /// All predicted IoU, `[N, K]`, with no sigmoid. DeSAM uses the first. A decoder that predicts
    /// none says 1, which is what the official program counts a mask as whose IoU it does not ask.
    pub iou_all: Tensor,
    /// The mask tokens after the transformer, `[N, K, E]`; zeros where there is none.
    pub mask_tokens: Tensor,
    /// The image tokens after the transformer, PRIM's mask embedding, `[N, E, G, G]`.
    pub mask_embedding: Tensor,
}

impl PromptReading {
    /// The predicted IoU that ranks prompts, `[N, 1]`.
    pub fn iou(&self) -> Result<Tensor> {
        self.iou_all.narrow(1, 0, 1)
    }

    /// The readings of prompts `start .. start + len` alone.
    pub fn narrow(&self, start: usize, len: usize) -> Result<Self> {
        Ok(Self {
            iou_all: self.iou_all.narrow(0, start, len)?,
            mask_tokens: self.mask_tokens.narrow(0, start, len)?,
            mask_embedding: self.mask_embedding.narrow(0, start, len)?,
        })
    }
}

/// Masks and how good the decoder thinks they are.
#[derive(Debug, Clone)]
pub struct MaskPrediction {
    /// Mask logits, `[N, 1, M, M]`.
    pub logits: Tensor,
    /// Predicted IoU, `[N, 1]`, with no sigmoid.
    pub iou: Tensor,
    /// Logits of the heads that deep supervision compares beside the mask, from finer to coarser,
    /// `[N, 1, M/2, M/2]`, `[N, 1, M/4, M/4]`, …; empty where it is not asked for.
    pub coarser: Vec<Tensor>,
}

impl MaskPrediction {
    /// Without deep supervision.
    pub fn new(logits: Tensor, iou: Tensor) -> Self {
        Self { logits, iou, coarser: Vec::new() }
    }
}

/// A mask decoder in three steps, so that what depends on less is computed less often: the image
/// once, the predicted IoU for every prompt, the mask only for prompts that deserve one.
///
/// `B` images meet `N` prompts as `B = N` (one prompt an image) or `B = 1` (all for that image).
pub trait MaskDecoder: Send + Sync {
    /// Everything that does not depend on the prompt. `position` is the prompt encoder's
    /// `[1, E, G, G]`.
    ///
    /// # Errors
    /// When the features do not have the taps and channels this decoder was built for.
    fn context(&self, features: &ImageFeatures, position: &Tensor) -> Result<ImageContext>;

    /// Reads `N` prompts: predicted IoU and what drawing needs.
    ///
    /// # Errors
    /// When `B` is neither 1 nor `N`, or shapes do not fit.
    fn read(&self, context: &ImageContext, prompts: &PromptEmbedding) -> Result<PromptReading>;

    /// Draws the mask logits `[N, 1, M, M]` of prompts that were read.
    ///
    /// # Errors
    /// When the reading does not belong to a context of this decoder.
    fn draw(&self, context: &ImageContext, reading: &PromptReading) -> Result<Tensor>;

    /// Draws the mask logits and what deep supervision compares beside them, from the finest to the
    /// coarsest: `[N, 1, M, M]`, `[N, 1, M/2, M/2]`, …. The first are those of
    /// [`draw`](Self::draw), and the only ones unless the decoder was built for deep supervision.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    fn draw_heads(&self, context: &ImageContext, reading: &PromptReading) -> Result<Vec<Tensor>> {
        Ok(vec![self.draw(context, reading)?])
    }

    /// Whether the readings' IoU are predictions. Where they are not, something else must rank
    /// prompts.
    fn predicts_iou(&self) -> bool {
        true
    }

    /// Whether two prompts of one image can have different masks. Where they cannot, one need be
    /// drawn.
    fn mask_follows_prompt(&self) -> bool {
        true
    }

    /// A reader for many prompts of one image, where nothing is to be trained: what they share
    /// need not be computed for each. Unless a decoder knows better, every prompt is read anew.
    ///
    /// # Errors
    /// When the context is not of this decoder.
    fn reader<'a>(&'a self, context: &'a ImageContext) -> Result<Box<dyn PromptReader + 'a>> {
        Ok(Box::new(OneByOne { decoder: self, context }))
    }

    /// All three steps at once.
    ///
    /// # Errors
    /// As the three steps.
    fn decode(
        &self,
        features: &ImageFeatures,
        position: &Tensor,
        prompts: &PromptEmbedding,
    ) -> Result<MaskPrediction> {
        let context = self.context(features, position)?;
        let reading = self.read(&context, prompts)?;
        let mut heads = self.draw_heads(&context, &reading)?;
        if heads.is_empty() {
            candle_core::bail!("the decoder drew no mask");
        }
        Ok(MaskPrediction { logits: heads.remove(0), iou: reading.iou()?, coarser: heads })
    }
}

/// Reads prompts of one image, for prediction: the numbers carry no gradients. Which other prompts
/// are read along with one changes nothing about it, to the last bit.
pub trait PromptReader {
    /// As [`MaskDecoder::read`], up to rounding.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn read(&mut self, prompts: &PromptEmbedding) -> Result<PromptReading>;

    /// The predicted IoU alone, `[N, 1]`: that of [`read`](Self::read), to the last bit.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn iou(&mut self, prompts: &PromptEmbedding) -> Result<Tensor> {
        self.read(prompts)?.iou()
    }
}

/// The reader of a decoder that has none of its own: one prompt after the other by
/// [`MaskDecoder::read`], so that none depends on the others.
#[derive(Clone, Copy)]
pub struct OneByOne<'a, D: ?Sized> {
    /// Whose prompts are read.
    pub decoder: &'a D,
    /// The image.
    pub context: &'a ImageContext,
}

impl<D: ?Sized> std::fmt::Debug for OneByOne<'_, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneByOne").field("context", self.context).finish_non_exhaustive()
    }
}

impl<D: MaskDecoder + ?Sized> PromptReader for OneByOne<'_, D> {
    fn read(&mut self, prompts: &PromptEmbedding) -> Result<PromptReading> {
        let one = |i: usize| {
            let (sparse, dense) = (prompts.sparse.narrow(0, i, 1)?, prompts.dense.narrow(0, i, 1)?);
            self.decoder.read(self.context, &PromptEmbedding { sparse, dense })
        };
        let all = (0..prompts.dense.dim(0)?).map(one).collect::<Result<Vec<_>>>()?;
        let join = |pick: fn(&PromptReading) -> &Tensor| {
            Tensor::cat(&all.iter().map(pick).collect::<Vec<_>>(), 0)
        };
        Ok(PromptReading {
            iou_all: join(|r| &r.iou_all)?,
            mask_tokens: join(|r| &r.mask_tokens)?,
            mask_embedding: join(|r| &r.mask_embedding)?,
        })
    }
}
