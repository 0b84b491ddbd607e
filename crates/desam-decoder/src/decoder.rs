//! The decoder that a configuration names.

use crate::{DecoderConfig, DesamDecoder, SamDecoder};
use candle_core::{Result, Tensor};
use desam_core::{
    ImageContext, ImageFeatures, MaskDecoder, PromptEmbedding, PromptReader, PromptReading,
};

/// Any of the [`Variant`](crate::Variant)s, as [`DecoderConfig::build`] makes it.
#[derive(Debug, Clone)]
pub enum Decoder {
    /// DeSAM or one of its ablations.
    Desam(DesamDecoder),
    /// SAM's own.
    Sam(SamDecoder),
}

impl Decoder {
    /// What it was built from.
    pub fn config(&self) -> &DecoderConfig {
        match self {
            Self::Desam(decoder) => decoder.config(),
            Self::Sam(decoder) => decoder.config(),
        }
    }

    /// Whether parameter `name` cannot influence what this variant draws and predicts, and so never
    /// gets a gradient. Such parameters are kept because official checkpoints hold them. With deep
    /// supervision the coarser heads learn, though no prediction shows it: they are not inert.
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

    fn read(&self, context: &ImageContext, prompts: &PromptEmbedding) -> Result<PromptReading> {
        self.inner().read(context, prompts)
    }

    fn draw(&self, context: &ImageContext, reading: &PromptReading) -> Result<Tensor> {
        self.inner().draw(context, reading)
    }

    fn reader<'a>(&'a self, context: &'a ImageContext) -> Result<Box<dyn PromptReader + 'a>> {
        self.inner().reader(context)
    }

    fn draw_heads(&self, context: &ImageContext, reading: &PromptReading) -> Result<Vec<Tensor>> {
        self.inner().draw_heads(context, reading)
    }

    fn predicts_iou(&self) -> bool {
        self.inner().predicts_iou()
    }

    fn mask_follows_prompt(&self) -> bool {
        self.inner().mask_follows_prompt()
    }
}
