//! The mask decoder trait, its inputs and its outputs.

use crate::{ImageFeatures, PromptEmbedding};
use candle_core::{Result, Tensor};

/// Decoder inputs that depend on the image alone, computed once an image.
#[derive(Debug, Clone)]
pub struct ImageContext {
    /// The encoder's embedding, `[B, E, G, G]`.
    pub embedding: Tensor,
    /// Positional encoding of the grid, `[1, E, G, G]`.
    pub position: Tensor,
    /// The decoder's own prompt-independent feature maps, from the coarsest level to the finest; may
    /// be empty.
    pub levels: Vec<LevelContext>,
}

impl ImageContext {
    /// The context of image `index` alone, `B = 1`.
    pub fn image(&self, index: usize) -> Result<Self> {
        Ok(Self {
            embedding: self.embedding.narrow(0, index, 1)?,
            position: self.position.clone(),
            levels: self.levels.iter().map(|l| l.image(index)).collect::<Result<_>>()?,
        })
    }
}

/// The prompt-independent features of one resolution level of a decoder.
#[derive(Debug, Clone)]
pub enum LevelContext {
    /// A feature map, `[B, C, H, W]`.
    Map(Tensor),
    /// A feature map's contribution to the first convolutions of the residual block that
    /// concatenates it with the prompt's features. A convolution is linear in its input channels, so
    /// many prompts can share this one.
    Convolved {
        /// From the main branch's 3×3 convolution, `[B, O, H, W]`.
        main: Tensor,
        /// From the shortcut's 1×1 convolution, `[B, O, H, W]`.
        shortcut: Tensor,
    },
}

impl LevelContext {
    /// The level of image `index` alone, `B = 1`.
    pub fn image(&self, index: usize) -> Result<Self> {
        Ok(match self {
            Self::Map(map) => Self::Map(map.narrow(0, index, 1)?),
            Self::Convolved { main, shortcut } => Self::Convolved {
                main: main.narrow(0, index, 1)?,
                shortcut: shortcut.narrow(0, index, 1)?,
            },
        })
    }
}

/// Decoder outputs for `N` prompts, computed before any mask is decoded.
#[derive(Debug, Clone)]
pub struct PromptOutput {
    /// Predicted IoU, all outputs of the IoU head, `[N, K]`, without a sigmoid. DeSAM uses the first, or the
    /// first `L` for `L` classes. A decoder without an IoU head has 1 everywhere, the value that the official program gives masks whose
    /// IoU it does not predict.
    pub iou_all: Tensor,
    /// The mask tokens after the transformer, `[N, K, E]`; zeros from a decoder without a transformer.
    pub mask_tokens: Tensor,
    /// The image tokens after the transformer, PRIM's mask embedding, `[N, E, G, G]`.
    pub mask_embedding: Tensor,
}

impl PromptOutput {
    /// The predicted IoU that ranks prompts, one a class, `[N, L]`.
    ///
    /// # Errors
    /// When the IoU head has fewer outputs.
    pub fn ious(&self, classes: usize) -> Result<Tensor> {
        self.iou_all.narrow(1, 0, classes)
    }

    /// The outputs of prompts `start .. start + len` alone.
    pub fn narrow(&self, start: usize, len: usize) -> Result<Self> {
        Ok(Self {
            iou_all: self.iou_all.narrow(0, start, len)?,
            mask_tokens: self.mask_tokens.narrow(0, start, len)?,
            mask_embedding: self.mask_embedding.narrow(0, start, len)?,
        })
    }
}

/// Mask logits with their predicted IoU: the input of a [`Loss`](crate::Loss).
#[derive(Debug, Clone)]
pub struct MaskPrediction {
    /// Mask logits, `[N, L, M, M]`.
    pub logits: Tensor,
    /// Predicted IoU, `[N, L]`, without a sigmoid.
    pub iou: Tensor,
    /// Logits of the auxiliary heads for deep supervision, from finer to coarser,
    /// `[N, L, M/2, M/2]`, `[N, L, M/4, M/4]`, …; empty without deep supervision.
    pub coarser: Vec<Tensor>,
}

impl MaskPrediction {
    /// A prediction without deep supervision.
    pub fn new(logits: Tensor, iou: Tensor) -> Self {
        Self { logits, iou, coarser: Vec::new() }
    }
}

/// A trained mask decoder: image features and prompts in, mask logits and predicted IoU out.
///
/// It runs in three steps, so that what depends on less is computed less often:
/// [`context`](Self::context) once an image, [`encode_prompts`](Self::encode_prompts) for every
/// prompt, [`decode_masks`](Self::decode_masks) only for prompts whose predicted IoU deserves a mask.
///
/// `B` images are combined with `N` prompts as `B = N` (one prompt an image) or `B = 1` (all prompts
/// are for that image).
///
/// # Determinism
///
/// The same inputs in the same batch give the same bits. A prompt's bits may depend on the
/// composition of its batch, because matrix multiplications of other sizes may sum in another order;
/// [`PromptReader::batch_invariant`] says where they do not.
pub trait MaskDecoder: Send + Sync {
    /// Computes everything that does not depend on the prompt. `position` is the prompt encoder's
    /// positional encoding, `[1, E, G, G]`.
    ///
    /// # Errors
    /// When the features do not have the taps and channels this decoder was built for.
    fn context(&self, features: &ImageFeatures, position: &Tensor) -> Result<ImageContext>;

    /// Predicts the IoU of `N` prompts, and what decoding their masks needs.
    ///
    /// # Errors
    /// When `B` is neither 1 nor `N`, or shapes do not fit.
    fn encode_prompts(
        &self,
        context: &ImageContext,
        prompts: &PromptEmbedding,
    ) -> Result<PromptOutput>;

    /// Decodes the mask logits `[N, L, M, M]` of encoded prompts.
    ///
    /// # Errors
    /// When `output` does not belong to a context of this decoder.
    fn decode_masks(&self, context: &ImageContext, output: &PromptOutput) -> Result<Tensor>;

    /// Decodes the mask logits and those of the auxiliary heads for deep supervision, from the finest
    /// to the coarsest: `[N, L, M, M]`, `[N, L, M/2, M/2]`, …. The first are those of
    /// [`decode_masks`](Self::decode_masks), and the only ones unless the decoder was built for deep
    /// supervision.
    ///
    /// # Errors
    /// As [`decode_masks`](Self::decode_masks).
    fn decode_heads(&self, context: &ImageContext, output: &PromptOutput) -> Result<Vec<Tensor>> {
        Ok(vec![self.decode_masks(context, output)?])
    }

    /// Number of classes `L`, each with separate mask logits and a separate predicted IoU.
    fn classes(&self) -> usize {
        1
    }

    /// Whether the outputs' IoU are predictions. Where they are not, something else must rank
    /// prompts.
    fn predicts_iou(&self) -> bool {
        true
    }

    /// Whether two prompts of one image can have different masks. Where they cannot, decoding one
    /// suffices.
    fn mask_follows_prompt(&self) -> bool {
        true
    }

    /// A reader for many prompts of one image at inference, which may compute once what they share.
    /// By default a [`SequentialReader`].
    ///
    /// # Errors
    /// When the context does not belong to this decoder.
    fn reader<'a>(&'a self, context: &'a ImageContext) -> Result<Box<dyn PromptReader + 'a>> {
        Ok(Box::new(SequentialReader { decoder: self, context }))
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
        let output = self.encode_prompts(&context, prompts)?;
        let mut heads = self.decode_heads(&context, &output)?;
        if heads.is_empty() {
            candle_core::bail!("the decoder returned no mask");
        }
        let iou = output.ious(self.classes())?;
        Ok(MaskPrediction { logits: heads.remove(0), iou, coarser: heads })
    }
}

/// Inference over many prompts of one image, without gradients.
pub trait PromptReader {
    /// As [`MaskDecoder::encode_prompts`], up to rounding.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn encode_prompts(&mut self, prompts: &PromptEmbedding) -> Result<PromptOutput>;

    /// The predicted IoU alone, all outputs of the IoU head, `[N, K]`: those of
    /// [`encode_prompts`](Self::encode_prompts), to the last bit.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn predict_ious(&mut self, prompts: &PromptEmbedding) -> Result<Tensor> {
        Ok(self.encode_prompts(prompts)?.iou_all)
    }

    /// Whether a prompt's bits are the same whichever prompts it is batched with, and however many.
    /// By default not promised.
    fn batch_invariant(&self) -> bool {
        false
    }
}

/// The default [`PromptReader`]: one prompt after the other, each by
/// [`MaskDecoder::encode_prompts`], so that none depends on the others.
#[derive(Clone, Copy)]
pub struct SequentialReader<'a, D: ?Sized> {
    /// The decoder.
    pub decoder: &'a D,
    /// The image.
    pub context: &'a ImageContext,
}

impl<D: ?Sized> std::fmt::Debug for SequentialReader<'_, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SequentialReader").field("context", self.context).finish_non_exhaustive()
    }
}

impl<D: MaskDecoder + ?Sized> PromptReader for SequentialReader<'_, D> {
    fn encode_prompts(&mut self, prompts: &PromptEmbedding) -> Result<PromptOutput> {
        let one = |i: usize| {
            let (sparse, dense) = (prompts.sparse.narrow(0, i, 1)?, prompts.dense.narrow(0, i, 1)?);
            self.decoder.encode_prompts(self.context, &PromptEmbedding { sparse, dense })
        };
        let all = (0..prompts.dense.dim(0)?).map(one).collect::<Result<Vec<_>>>()?;
        let join = |pick: fn(&PromptOutput) -> &Tensor| {
            Tensor::cat(&all.iter().map(pick).collect::<Vec<_>>(), 0)
        };
        Ok(PromptOutput {
            iou_all: join(|o| &o.iou_all)?,
            mask_tokens: join(|o| &o.mask_tokens)?,
            mask_embedding: join(|o| &o.mask_embedding)?,
        })
    }

    fn batch_invariant(&self) -> bool {
        true
    }
}
