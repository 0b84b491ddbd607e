//! PRIM and PIMM together, and the ablations that take a part out.

use crate::inert::is_inert;
use crate::reader::reader;
use crate::{DecoderConfig, Pimm, PimmContext, Prim, SamMaskHead, SplitInput, Variant};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_core::{
    ImageContext, ImageFeatures, MaskDecoder, OneByOne, PromptEmbedding, PromptReader,
    PromptReading,
};

/// DeSAM's mask decoder (paper, Fig. 1), or one of its ablations (Fig. 3). All hold the same
/// parameters; what a [`Variant`] does not use [`is_inert`](Self::is_inert).
#[derive(Debug, Clone)]
pub struct DesamDecoder {
    config: DecoderConfig,
    prim: Prim,
    pimm: Pimm,
    /// SAM's mask head, unused. Kept so that a checkpoint of ours loads into the official modules and
    /// theirs loads here with nothing left over.
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

    /// Whether parameter `name` cannot influence what is drawn and predicted, and so never gets a
    /// gradient. Such parameters are kept because official checkpoints hold them.
    pub fn is_inert(&self, name: &str) -> bool {
        is_inert(&self.config, name)
    }

    /// The IoU of `n` prompts that nothing predicts.
    fn no_iou(&self, context: &ImageContext, n: usize) -> Result<Tensor> {
        let like = &context.embedding;
        Tensor::ones((n, self.config.mask_tokens), like.dtype(), like.device())
    }

    /// The mask tokens of `n` prompts that nothing reads.
    fn no_tokens(&self, context: &ImageContext, n: usize) -> Result<Tensor> {
        let (like, e) = (&context.embedding, self.config.embedding_channels);
        Tensor::zeros((n, self.config.mask_tokens, e), like.dtype(), like.device())
    }

    /// PIMM's part of the context: one map a level, or two shares.
    fn levels(&self, context: &ImageContext) -> Result<PimmContext> {
        let split = |pair: &[Tensor]| match pair {
            [main, shortcut] => Ok(SplitInput { main: main.clone(), shortcut: shortcut.clone() }),
            _ => candle_core::bail!("the context is not one of this decoder's"),
        };
        match context.levels.len() == self.config.tap_channels.len() {
            true => Ok(PimmContext::Maps(context.levels.clone())),
            false => {
                let shares = context.levels.chunks(2).map(split);
                Ok(PimmContext::Shares(shares.collect::<Result<_>>()?))
            }
        }
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
        let n = prompts.dense.dim(0)?;
        Ok(match self.config.variant {
            Variant::PimmOnly => PromptReading {
                iou_all: self.no_iou(context, n)?,
                mask_tokens: self.no_tokens(context, n)?,
                mask_embedding: image_embedding(context, n)?,
            },
            Variant::NoIouHead => PromptReading {
                iou_all: self.no_iou(context, n)?,
                ..self.prim.read(context, prompts)?
            },
            Variant::NoMaskFusion => PromptReading {
                mask_embedding: image_embedding(context, n)?,
                ..self.prim.read(context, prompts)?
            },
            Variant::Desam | Variant::SamDecoder => self.prim.read(context, prompts)?,
        })
    }

    fn reader<'a>(&'a self, context: &'a ImageContext) -> Result<Box<dyn PromptReader + 'a>> {
        match self.config.variant {
            Variant::Desam => reader(&self.prim, self, context),
            _ => Ok(Box::new(OneByOne { decoder: self, context })),
        }
    }

    fn draw(&self, context: &ImageContext, reading: &PromptReading) -> Result<Tensor> {
        self.pimm.draw(&self.levels(context)?, &reading.mask_embedding)
    }

    fn draw_heads(&self, context: &ImageContext, reading: &PromptReading) -> Result<Vec<Tensor>> {
        if !self.config.deep_supervision {
            return Ok(vec![self.draw(context, reading)?]);
        }
        self.pimm.draw_heads(&self.levels(context)?, &reading.mask_embedding)
    }

    fn predicts_iou(&self) -> bool {
        self.config.variant.predicts_iou()
    }

    fn mask_follows_prompt(&self) -> bool {
        self.config.variant.mask_follows_prompt()
    }
}

/// The encoder's embedding for each of `n` prompts: what PIMM fuses where it is given no mask
/// embedding.
fn image_embedding(context: &ImageContext, n: usize) -> Result<Tensor> {
    let (b, e, h, w) = context.embedding.dims4()?;
    if b != n && b != 1 {
        candle_core::bail!("{b} images meet {n} prompts: expected one image, or one a prompt");
    }
    context.embedding.broadcast_as((n, e, h, w))?.contiguous()
}
