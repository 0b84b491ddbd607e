//! PIMM, the prompt-invariant mask module (paper, section 3.1).

use crate::{DecoderConfig, SeResBlock, SplitInput};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_core::LevelContext;
use desam_nn::layers::{Conv2d, Conv2dLayerConfig, ConvTranspose2x2, ConvTranspose2x2Config};
use desam_nn::ops::conv2d::Conv2dConfig;

/// A context block: brings an encoder tap to the channels and the resolution of its level.
#[derive(Debug, Clone)]
struct ContextBlock {
    init: SeResBlock,
    /// 2× upsampling and a residual block, once for every level above the coarsest: all taps have the
    /// grid's side, but the finer levels are larger.
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

/// A step of the decoder path: 2× upsampling to half the channels, then a residual block over its
/// concatenation with the level's context.
#[derive(Debug, Clone)]
struct UpStep {
    up: ConvTranspose2x2,
    block: SeResBlock,
    /// 1×1 convolution to a channel a class, kernel `[L, C, 1, 1]`. The last step's is the mask head; the
    /// others are auxiliary heads for deep supervision.
    head: Conv2d,
}

/// The U-Net-like decoder over the encoder's taps. Its skip connections carry the taps instead of the
/// activations of an encoder path.
#[derive(Debug, Clone)]
pub struct Pimm {
    /// From the deepest tap to the shallowest.
    context: Vec<ContextBlock>,
    fusion: SeResBlock,
    steps: Vec<UpStep>,
}

impl Pimm {
    /// Builds it at `mask_decoder.pimm`.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape.
    pub fn new(config: &DecoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let e = config.embedding_channels;
        // The official program numbers context blocks from the deepest tap, which has the most channels
        // and the lowest resolution in the U-Net.
        let deepest_first = config.tap_channels.iter().rev().enumerate();
        let context = deepest_first.map(|(depth, &channels)| {
            ContextBlock::new(channels, depth, config, vb.pp("conv_blocks_context").pp(depth))
        });
        let step = |i: usize| {
            let (from, to) = (config.level_channels(i), config.level_channels(i + 1));
            let at = vb.pp("conv_blocks_localization").pp(i);
            let up = ConvTranspose2x2Config { inputs: from, outputs: to, bias: false };
            let window = Conv2dConfig::same(1);
            let head =
                Conv2dLayerConfig { inputs: to, outputs: config.classes, window, bias: false };
            Ok(UpStep {
                up: up.build(at.pp("transp_conv").pp("conv"))?,
                // Twice the channels: the upsampled features and the context are concatenated.
                block: SeResBlock::new(2 * to, to, config.squeeze, at.pp("res_block"))?,
                head: head.build(vb.pp("seg_outputs").pp(i))?,
            })
        };
        let fusion = vb.pp("mask_embedding_fusion");
        Ok(Self {
            context: context.collect::<Result<_>>()?,
            fusion: SeResBlock::new(2 * e, e, config.squeeze, fusion)?,
            // The coarsest level is fused with the mask embedding; every other one is a step.
            steps: (0..config.tap_channels.len() - 1).map(step).collect::<Result<_>>()?,
        })
    }

    /// The prompt-independent part, from taps `[B, C, G, G]` in depth order: one level for the fusion
    /// and for each step up, from the coarsest to the finest.
    ///
    /// # Errors
    /// When there is another number of taps or their channels differ.
    pub fn context(&self, taps: &[Tensor]) -> Result<Vec<LevelContext>> {
        if taps.len() != self.context.len() {
            candle_core::bail!("PIMM takes {} taps, {} were given", self.context.len(), taps.len());
        }
        let deepest_first = self.context.iter().zip(taps.iter().rev());
        let maps = deepest_first.map(|(block, tap)| block.forward(tap));
        let maps = maps.collect::<Result<Vec<_>>>()?;
        // In training one prompt has one image and nothing is shared. The fused block then reads the
        // map where it lies, without a concatenation.
        if maps.iter().any(Tensor::track_op) {
            return Ok(maps.into_iter().map(LevelContext::Map).collect());
        }
        let blocks = std::iter::once(&self.fusion).chain(self.steps.iter().map(|s| &s.block));
        let convolve = |(block, map): (&SeResBlock, &Tensor)| {
            // The context comes second in every concatenation of the official program.
            let SplitInput { main, shortcut } = block.convolve_part(map, map.dim(1)?)?;
            Ok(LevelContext::Convolved { main, shortcut })
        };
        blocks.zip(&maps).map(convolve).collect()
    }

    /// Mask logits `[N, L, M, M]` from mask embeddings `[N, E, G, G]`; the levels are of `N` images or
    /// of one.
    ///
    /// # Errors
    /// When the levels are not from [`context`](Self::context).
    pub fn decode_mask(&self, levels: &[LevelContext], mask_embedding: &Tensor) -> Result<Tensor> {
        let last = self.steps.len().saturating_sub(1);
        match self.heads(levels, mask_embedding, last)?.pop() {
            Some(mask) => Ok(mask),
            None => candle_core::bail!("PIMM needs at least two taps to decode a mask"),
        }
    }

    /// Logits of every step's head for deep supervision, from the finest, which is the mask, to the
    /// coarsest, `[N, L, 2 G, 2 G]`.
    ///
    /// # Errors
    /// As [`decode_mask`](Self::decode_mask).
    pub fn decode_heads(
        &self,
        levels: &[LevelContext],
        mask_embedding: &Tensor,
    ) -> Result<Vec<Tensor>> {
        // Computed from the coarsest; the loss takes the mask first.
        let mut heads = self.heads(levels, mask_embedding, 0)?;
        heads.reverse();
        Ok(heads)
    }

    /// The heads of steps `first ..`, from the coarsest to the finest.
    fn heads(
        &self,
        levels: &[LevelContext],
        mask_embedding: &Tensor,
        first: usize,
    ) -> Result<Vec<Tensor>> {
        let (steps, given) = (self.steps.len(), levels.len());
        if given != steps + 1 {
            candle_core::bail!("PIMM has {steps} steps, the context {given} levels");
        }
        let mut heads = Vec::new();
        let mut x = fuse(&self.fusion, mask_embedding, &levels[0])?;
        for (index, (step, level)) in self.steps.iter().zip(&levels[1..]).enumerate() {
            x = fuse(&step.block, &step.up.forward(&x)?, level)?;
            // Without deep supervision only the last head is computed.
            if index >= first {
                heads.push(step.head.forward(&x)?);
            }
        }
        Ok(heads)
    }
}

/// The residual block over the concatenation of `x [N, C, H, W]` and the level's context map, the skip
/// connection of the U-Net.
fn fuse(block: &SeResBlock, x: &Tensor, level: &LevelContext) -> Result<Tensor> {
    match level {
        LevelContext::Map(map) => {
            let (_, channels, height, width) = map.dims4()?;
            let map = map.broadcast_as((x.dim(0)?, channels, height, width))?;
            block.forward_joined(&[x, &map])
        }
        LevelContext::Convolved { main, shortcut } => {
            let context = SplitInput { main: main.clone(), shortcut: shortcut.clone() };
            block.finish(&block.convolve_part(x, 0)?.add(&context)?)
        }
    }
}
