//! PIMM, the prompt-invariant mask module (paper, section 3.1).

use crate::{DecoderConfig, SeResBlock, SplitInput};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{Conv2d, Conv2dLayerConfig, ConvTranspose2x2, ConvTranspose2x2Config};
use desam_nn::ops::conv2d::Conv2dConfig;

/// A context block: brings a tap to its level's channels and side.
#[derive(Debug, Clone)]
struct ContextBlock {
    init: SeResBlock,
    /// Twice the side, then another block, as often as the level is above the coarsest.
    steps: Vec<(ConvTranspose2x2, SeResBlock)>,
}

impl ContextBlock {
    fn new(
        inputs: usize,
        depth: usize,
        config: &DecoderConfig,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let channels = config.level_channels(depth);
        let step = |i: usize| {
            let vb = vb.pp("residual_block").pp(i);
            let up = ConvTranspose2x2Config { inputs: channels, outputs: channels, bias: false };
            let up = up.build(vb.pp(0).pp("conv"))?;
            Ok((up, SeResBlock::new(channels, channels, config.squeeze, vb.pp(1))?))
        };
        Ok(Self {
            init: SeResBlock::new(inputs, channels, config.squeeze, vb.pp("block_init"))?,
            steps: (0..depth).map(step).collect::<Result<_>>()?,
        })
    }

    fn forward(&self, tap: &Tensor) -> Result<Tensor> {
        let mut x = self.init.forward(tap)?;
        for (up, block) in &self.steps {
            x = block.forward(&up.forward(&x)?)?;
        }
        Ok(x)
    }
}

/// A step up: twice the side, half the channels, joined with the level's context.
#[derive(Debug, Clone)]
struct UpStep {
    up: ConvTranspose2x2,
    block: SeResBlock,
    /// `[1, C, 1, 1]`; the last step's draws the mask, the others serve deep supervision.
    head: Conv2d,
}

/// The U-Net-like decoder over the encoder's taps.
#[derive(Debug, Clone)]
pub struct Pimm {
    /// From the deepest tap to the shallowest.
    context: Vec<ContextBlock>,
    fusion: SeResBlock,
    steps: Vec<UpStep>,
}

/// What of PIMM does not depend on the prompt, from the coarsest level to the finest.
#[derive(Debug, Clone)]
pub enum PimmContext {
    /// Each level's context map. In training one prompt meets one image, nothing is shared, and the
    /// joining block reads the map where it lies.
    Maps(Vec<Tensor>),
    /// The map's share of the joining block's first convolutions, for the fusion and each step up:
    /// many prompts share it.
    Shares(Vec<SplitInput>),
}

impl Pimm {
    /// Builds it at `mask_decoder.pimm`.
    ///
    /// # Errors
    /// When a parameter cannot be had.
    pub fn new(config: &DecoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let e = config.embedding_channels;
        let deepest_first = config.tap_channels.iter().rev().enumerate();
        let context = deepest_first.map(|(depth, &channels)| {
            ContextBlock::new(channels, depth, config, vb.pp("conv_blocks_context").pp(depth))
        });
        let step = |i: usize| {
            let (from, to) = (config.level_channels(i), config.level_channels(i + 1));
            let at = vb.pp("conv_blocks_localization").pp(i);
            let up = ConvTranspose2x2Config { inputs: from, outputs: to, bias: false };
            let window = Conv2dConfig::same(1);
            let head = Conv2dLayerConfig { inputs: to, outputs: 1, window, bias: false };
            Ok(UpStep {
                up: up.build(at.pp("transp_conv").pp("conv"))?,
                block: SeResBlock::new(2 * to, to, config.squeeze, at.pp("res_block"))?,
                head: head.build(vb.pp("seg_outputs").pp(i))?,
            })
        };
        let fusion = vb.pp("mask_embedding_fusion");
        Ok(Self {
            context: context.collect::<Result<_>>()?,
            fusion: SeResBlock::new(2 * e, e, config.squeeze, fusion)?,
            steps: (0..config.tap_channels.len() - 1).map(step).collect::<Result<_>>()?,
        })
    }

    /// Everything that does not depend on the prompt, from taps `[B, C, G, G]` in depth order.
    ///
    /// # Errors
    /// When there is another number of taps or their channels differ.
    pub fn context(&self, taps: &[Tensor]) -> Result<PimmContext> {
        if taps.len() != self.context.len() {
            candle_core::bail!("PIMM reads {} taps, {} were given", self.context.len(), taps.len());
        }
        let deepest_first = self.context.iter().zip(taps.iter().rev());
        let maps = deepest_first.map(|(block, tap)| block.forward(tap));
        let maps = maps.collect::<Result<Vec<_>>>()?;
        if maps.iter().any(Tensor::track_op) {
            return Ok(PimmContext::Maps(maps));
        }
        let joining = std::iter::once(&self.fusion).chain(self.steps.iter().map(|s| &s.block));
        // The context comes second in every concatenation of the official program.
        let shares = joining.zip(&maps).map(|(block, map)| block.part(map, map.dim(1)?));
        Ok(PimmContext::Shares(shares.collect::<Result<_>>()?))
    }

    /// Mask logits `[N, 1, M, M]` from mask embeddings `[N, E, G, G]`, the context's `B` being `N`
    /// or 1.
    ///
    /// # Errors
    /// When the context is not one of this module's.
    pub fn draw(&self, context: &PimmContext, mask_embedding: &Tensor) -> Result<Tensor> {
        let last = self.steps.len().saturating_sub(1);
        match self.heads(context, mask_embedding, last)?.pop() {
            Some(mask) => Ok(mask),
            None => candle_core::bail!("PIMM needs at least two taps to draw a mask"),
        }
    }

    /// The same with every step's head, from the finest, which is the mask, to the coarsest,
    /// `[N, 1, 2 G, 2 G]`.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    pub fn draw_heads(
        &self,
        context: &PimmContext,
        mask_embedding: &Tensor,
    ) -> Result<Vec<Tensor>> {
        let mut heads = self.heads(context, mask_embedding, 0)?;
        heads.reverse();
        Ok(heads)
    }

    /// The heads of steps `first ..`, from the coarsest to the finest.
    fn heads(
        &self,
        context: &PimmContext,
        mask_embedding: &Tensor,
        first: usize,
    ) -> Result<Vec<Tensor>> {
        let levels = match context {
            PimmContext::Maps(maps) => maps.len(),
            PimmContext::Shares(shares) => shares.len(),
        };
        if levels != self.steps.len() + 1 {
            candle_core::bail!("PIMM has {} steps, the context {levels} levels", self.steps.len());
        }
        let join = |block: &SeResBlock, level: usize, x: &Tensor| match context {
            PimmContext::Maps(maps) => {
                let (_, channels, height, width) = maps[level].dims4()?;
                let map = maps[level].broadcast_as((x.dim(0)?, channels, height, width))?;
                block.forward_joined(&[x, &map])
            }
            PimmContext::Shares(shares) => block.finish(&block.part(x, 0)?.add(&shares[level])?),
        };
        let mut heads = Vec::new();
        let mut x = join(&self.fusion, 0, mask_embedding)?;
        for (level, step) in self.steps.iter().enumerate() {
            x = join(&step.block, level + 1, &step.up.forward(&x)?)?;
            if level >= first {
                heads.push(step.head.forward(&x)?);
            }
        }
        Ok(heads)
    }
}
