//! A decoder of any variant.

use crate::{DecoderConfig, DesamDecoder, SamDecoder, Variant};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_core::{
    ImageContext, ImageFeatures, MaskDecoder, PromptEmbedding, PromptOutput, PromptReader,
};

/// Decoder of any [`Variant`], built by [`DecoderConfig::build`].
#[derive(Debug, Clone)]
pub enum Decoder {
    /// DeSAM or one of its ablations.
    Desam(DesamDecoder),
    /// SAM's own.
    Sam(SamDecoder),
}

impl DecoderConfig {
    /// Builds the variant's decoder from parameters at `vb`'s root, under `mask_decoder.*`.
    ///
    /// # Errors
    /// When the configuration is not valid, or a parameter is missing or has another shape.
    pub fn build(&self, vb: VarBuilder<'_>) -> Result<Decoder> {
        self.validate().map_err(candle_core::Error::wrap)?;
        let vb = vb.pp("mask_decoder");
        match self.variant {
            Variant::SamDecoder => Ok(Decoder::Sam(SamDecoder::new(self, vb)?)),
            _ => Ok(Decoder::Desam(DesamDecoder::new(self, vb)?)),
        }
    }
}

impl Decoder {
    /// The configuration it was built from.
    pub fn config(&self) -> &DecoderConfig {
        match self {
            Self::Desam(decoder) => decoder.config(),
            Self::Sam(decoder) => decoder.config(),
        }
    }

    /// Whether parameter `name` cannot influence this variant's masks and IoU, and so never gets a
    /// gradient. Such parameters are kept because official checkpoints hold them. With deep
    /// supervision the auxiliary heads learn, though no prediction shows it: they are not inert.
    pub fn is_inert(&self, name: &str) -> bool {
        crate::inert::is_inert(self.config(), name)
    }

    fn inner(&self) -> &dyn MaskDecoder {
        match self {
            Self::Desam(decoder) => decoder,
            Self::Sam(decoder) => decoder,
        }
    }
}

impl MaskDecoder for Decoder {
    fn context(&self, features: &ImageFeatures, position: &Tensor) -> Result<ImageContext> {
        self.inner().context(features, position)
    }

    fn encode_prompts(
        &self,
        context: &ImageContext,
        prompts: &PromptEmbedding,
    ) -> Result<PromptOutput> {
        self.inner().encode_prompts(context, prompts)
    }

    fn decode_masks(&self, context: &ImageContext, output: &PromptOutput) -> Result<Tensor> {
        self.inner().decode_masks(context, output)
    }

    fn reader<'a>(&'a self, context: &'a ImageContext) -> Result<Box<dyn PromptReader + 'a>> {
        self.inner().reader(context)
    }

    fn decode_heads(&self, context: &ImageContext, output: &PromptOutput) -> Result<Vec<Tensor>> {
        self.inner().decode_heads(context, output)
    }

    fn classes(&self) -> usize {
        self.inner().classes()
    }

    fn predicts_iou(&self) -> bool {
        self.inner().predicts_iou()
    }

    fn mask_follows_prompt(&self) -> bool {
        self.inner().mask_follows_prompt()
    }
}
