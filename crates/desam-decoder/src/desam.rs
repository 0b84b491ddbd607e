//! DeSAM's mask decoder, PRIM and PIMM together, and the ablations that take a part out.

use crate::inert::is_inert;
use crate::reader::reader;
use crate::{DecoderConfig, Pimm, Prim, SamMaskHead, Variant};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_core::{
    ImageContext, ImageFeatures, MaskDecoder, PromptEmbedding, PromptOutput, PromptReader,
    SequentialReader,
};

/// DeSAM's mask decoder (paper, Fig. 1), or one of its ablations (Fig. 3). All hold the same
/// parameters; what a [`Variant`] does not use [`is_inert`](Self::is_inert).
#[derive(Debug, Clone)]
pub struct DesamDecoder {
    config: DecoderConfig,
    prim: Prim,
    pimm: Pimm,
    /// SAM's mask head, unused. Kept so that a checkpoint of ours loads into the official modules, and
    /// an official one loads here without unexpected keys.
    _sam_head: SamMaskHead,
}

impl DesamDecoder {
    pub(crate) fn new(config: &DecoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            prim: Prim::new(config, vb.clone())?,
            pimm: Pimm::new(config, vb.pp("pimm"))?,
            _sam_head: SamMaskHead::new(config, vb)?,
            config: config.clone(),
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Whether parameter `name` cannot influence masks and IoU, and so never gets a gradient. Such
    /// parameters are kept because official checkpoints hold them.
    pub fn is_inert(&self, name: &str) -> bool {
        is_inert(&self.config, name)
    }

    /// IoU of `n` prompts for a variant without an IoU head: 1, see [`PromptOutput::iou_all`].
    fn constant_iou(&self, context: &ImageContext, n: usize) -> Result<Tensor> {
        let like = &context.embedding;
        Tensor::ones((n, self.config.iou_outputs()), like.dtype(), like.device())
    }

    /// Mask tokens of `n` prompts for a variant without a transformer: zeros.
    fn zero_tokens(&self, context: &ImageContext, n: usize) -> Result<Tensor> {
        let (like, e) = (&context.embedding, self.config.embedding_channels);
        Tensor::zeros((n, self.config.mask_tokens, e), like.dtype(), like.device())
    }
}

impl MaskDecoder for DesamDecoder {
    fn context(&self, features: &ImageFeatures, position: &Tensor) -> Result<ImageContext> {
        let channels = features.taps.iter().map(|t| t.dim(1)).collect::<Result<Vec<_>>>()?;
        let embedding = features.embedding.dim(1)?;
        // Checked before any convolution, whose error could only report two shapes.
        if channels != self.config.tap_channels || embedding != self.config.embedding_channels {
            candle_core::bail!(
                "this decoder takes taps of {:?} channels and an embedding of {}; the features \
                 have {channels:?} and {embedding}: they are of another encoder",
                self.config.tap_channels,
                self.config.embedding_channels
            );
        }
        Ok(ImageContext {
            embedding: features.embedding.clone(),
            position: position.clone(),
            levels: self.pimm.context(&features.taps)?,
        })
    }

    fn encode_prompts(
        &self,
        context: &ImageContext,
        prompts: &PromptEmbedding,
    ) -> Result<PromptOutput> {
        let n = prompts.dense.dim(0)?;
        Ok(match self.config.variant {
            Variant::PimmOnly => PromptOutput {
                iou_all: self.constant_iou(context, n)?,
                mask_tokens: self.zero_tokens(context, n)?,
                mask_embedding: image_embedding(context, n)?,
            },
            // PRIM's IoU head runs in any case, a perceptron over one token; here its output is
            // dropped.
            Variant::NoIouHead => PromptOutput {
                iou_all: self.constant_iou(context, n)?,
                ..self.prim.encode_prompts(context, prompts)?
            },
            Variant::NoMaskFusion => PromptOutput {
                mask_embedding: image_embedding(context, n)?,
                ..self.prim.encode_prompts(context, prompts)?
            },
            Variant::Desam | Variant::SamDecoder | Variant::ClassDecoder => {
                self.prim.encode_prompts(context, prompts)?
            }
        })
    }

    fn reader<'a>(&'a self, context: &'a ImageContext) -> Result<Box<dyn PromptReader + 'a>> {
        match self.config.variant {
            Variant::Desam => reader(&self.prim, self, context),
            // The fast readers compute PRIM's outputs, which the ablations replace in part.
            _ => Ok(Box::new(SequentialReader { decoder: self, context })),
        }
    }

    fn decode_masks(&self, context: &ImageContext, output: &PromptOutput) -> Result<Tensor> {
        self.pimm.decode_mask(&context.levels, &output.mask_embedding)
    }

    fn decode_heads(&self, context: &ImageContext, output: &PromptOutput) -> Result<Vec<Tensor>> {
        // Without deep supervision no loss reaches the auxiliary heads: their logits mean nothing.
        if !self.config.deep_supervision {
            return Ok(vec![self.decode_masks(context, output)?]);
        }
        self.pimm.decode_heads(&context.levels, &output.mask_embedding)
    }

    fn classes(&self) -> usize {
        self.config.classes
    }

    fn predicts_iou(&self) -> bool {
        self.config.variant.predicts_iou()
    }

    fn mask_follows_prompt(&self) -> bool {
        self.config.variant.mask_follows_prompt()
    }
}

/// The encoder's embedding, repeated for each of `n` prompts: PIMM's input in the variants without
/// PRIM's mask embedding.
fn image_embedding(context: &ImageContext, n: usize) -> Result<Tensor> {
    let (b, e, h, w) = context.embedding.dims4()?;
    if b != n && b != 1 {
        candle_core::bail!("{b} images for {n} prompts: expected one image, or one a prompt");
    }
    context.embedding.broadcast_as((n, e, h, w))?.contiguous()
}
