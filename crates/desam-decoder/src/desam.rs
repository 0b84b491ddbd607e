//! PRIM and PIMM together.

use crate::carried::{SamMaskHead, is_inert};
use crate::reader::Reader;
use crate::{DecoderConfig, Pimm, PimmContext, Prim, SplitInput};
use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use desam_core::{
    ImageContext, ImageFeatures, MaskDecoder, OneByOne, PromptEmbedding, PromptReader,
    PromptReading,
};

/// DeSAM's mask decoder (paper, Fig. 1).
#[derive(Debug, Clone)]
pub struct DesamDecoder {
    config: DecoderConfig,
    prim: Prim,
    pimm: Pimm,
    _carried: SamMaskHead,
}

impl DesamDecoder {
    pub(crate) fn new(config: &DecoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            prim: Prim::new(config, vb.clone())?,
            pimm: Pimm::new(config, vb.pp("pimm"))?,
            _carried: SamMaskHead::new(config, vb)?,
            config: config.clone(),
        })
    }

    /// What it was built from.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Whether parameter `name` cannot influence a prediction and so never gets a gradient. Such
    /// parameters are kept because official checkpoints hold them.
    pub fn is_inert(&self, name: &str) -> bool {
        is_inert(&self.config, name)
    }
}

impl MaskDecoder for DesamDecoder {
    fn context(&self, features: &ImageFeatures, position: &Tensor) -> Result<ImageContext> {
        let channels = features.taps.iter().map(|t| t.dim(1)).collect::<Result<Vec<_>>>()?;
        let embedding = features.embedding.dim(1)?;
        if channels != self.config.tap_channels || embedding != self.config.embedding_channels {
            candle_core::bail!(
                "this decoder reads taps of {:?} channels and an embedding of {}; the features \
                 have {channels:?} and {embedding}: they are of another encoder",
                self.config.tap_channels,
                self.config.embedding_channels
            );
        }
        let levels = match self.pimm.context(&features.taps)? {
            PimmContext::Maps(maps) => maps,
            PimmContext::Shares(shares) => {
                shares.into_iter().flat_map(|l| [l.main, l.shortcut]).collect()
            }
        };
        Ok(ImageContext {
            embedding: features.embedding.clone(),
            position: position.clone(),
            levels,
        })
    }

    fn read(&self, context: &ImageContext, prompts: &PromptEmbedding) -> Result<PromptReading> {
        self.prim.read(context, prompts)
    }

    fn reader<'a>(&'a self, context: &'a ImageContext) -> Result<Box<dyn PromptReader + 'a>> {
        let embedding = &context.embedding;
        let fast = embedding.device().is_cpu() && embedding.dtype() == DType::F32;
        Ok(match fast && embedding.dim(0)? == 1 {
            true => Box::new(Reader::new(&self.prim, context)),
            false => Box::new(OneByOne { decoder: self, context }),
        })
    }

    fn draw(&self, context: &ImageContext, reading: &PromptReading) -> Result<Tensor> {
        let split = |pair: &[Tensor]| match pair {
            [main, shortcut] => Ok(SplitInput { main: main.clone(), shortcut: shortcut.clone() }),
            _ => candle_core::bail!("the context is not one of this decoder's"),
        };
        // One map a level, or two shares.
        let levels = match context.levels.len() == self.config.tap_channels.len() {
            true => PimmContext::Maps(context.levels.clone()),
            false => {
                PimmContext::Shares(context.levels.chunks(2).map(split).collect::<Result<_>>()?)
            }
        };
        self.pimm.draw(&levels, &reading.mask_embedding)
    }
}
