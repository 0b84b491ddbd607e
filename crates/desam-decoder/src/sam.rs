//! SAM's own mask decoder.

use crate::inert::is_inert;
use crate::reader::reader;
use crate::{DecoderConfig, Prim, SamMaskHead, Variant};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_core::{
    ImageContext, ImageFeatures, MaskDecoder, PromptEmbedding, PromptOutput, PromptReader,
};

/// SAM's mask decoder, trainable: the two-way transformer and IoU head that DeSAM's PRIM keeps, and
/// the mask head that DeSAM replaces by PIMM.
///
/// As a [`MaskDecoder`] it decodes one mask a prompt and class, that of the class's mask token, and its IoU
/// is that output of the head. For one class that is the first of each: SAM with `multimask_output=False`, which is how MedSAM trains and uses
/// it (paper, Table 1). [`masks`](Self::masks) decodes those of all tokens.
#[derive(Debug, Clone)]
pub struct SamDecoder {
    config: DecoderConfig,
    prim: Prim,
    head: SamMaskHead,
}

impl SamDecoder {
    /// Builds it at `mask_decoder`, whatever the configuration's variant. It has no PIMM.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape.
    pub fn new(config: &DecoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            prim: Prim::new(config, vb.clone())?,
            head: SamMaskHead::new(config, vb)?,
            config: DecoderConfig { variant: Variant::SamDecoder, ..config.clone() },
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Whether parameter `name` cannot influence the one mask of a prompt or its IoU: the
    /// hypernetworks of mask tokens beyond the classes.
    pub fn is_inert(&self, name: &str) -> bool {
        is_inert(&self.config, name)
    }

    /// The masks of all `K` mask tokens, logits `[N, K, 4 G, 4 G]`; their predicted IoU are
    /// `output.iou_all [N, K]`. The first is SAM's mask for unambiguous prompts, the others its
    /// three for ambiguous ones (`multimask_output=True`).
    ///
    /// # Errors
    /// When `output` does not belong to this decoder.
    pub fn masks(&self, output: &PromptOutput) -> Result<Tensor> {
        self.head.masks(output, self.config.mask_tokens)
    }
}

impl MaskDecoder for SamDecoder {
    fn context(&self, features: &ImageFeatures, position: &Tensor) -> Result<ImageContext> {
        let embedding = features.embedding.dim(1)?;
        // SAM's decoder reads no taps, so theirs may have any channels.
        if embedding != self.config.embedding_channels {
            candle_core::bail!(
                "this decoder takes an embedding of {} channels; the features have one of \
                 {embedding}: they are of another encoder",
                self.config.embedding_channels
            );
        }
        Ok(ImageContext {
            embedding: features.embedding.clone(),
            position: position.clone(),
            levels: Vec::new(),
        })
    }

    fn encode_prompts(
        &self,
        context: &ImageContext,
        prompts: &PromptEmbedding,
    ) -> Result<PromptOutput> {
        self.prim.encode_prompts(context, prompts)
    }

    fn reader<'a>(&'a self, context: &'a ImageContext) -> Result<Box<dyn PromptReader + 'a>> {
        reader(&self.prim, self, context)
    }

    fn decode_masks(&self, _: &ImageContext, output: &PromptOutput) -> Result<Tensor> {
        // Token 0 is SAM's mask for a single output; tokens beyond the classes are never decoded.
        self.head.masks(output, self.config.classes)
    }

    fn classes(&self) -> usize {
        self.config.classes
    }
}
