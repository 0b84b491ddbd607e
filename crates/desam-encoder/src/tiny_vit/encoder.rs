//! The image encoder: patch embedding, four stages with taps in the third, neck.

use super::TinyVitConfig;
use super::attention::AttentionConfig;
use super::block::TinyVitBlock;
use super::mbconv::{Downsample, MbConv, PatchEmbed};
use crate::forward_hook::ForwardHook;
use crate::image_batch::{check_pixels, encode_images};
use crate::neck::Neck;
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use desam_core::{EncoderSpec, ImageEncoder, ImageFeatures};
use desam_nn::ops::layout::channels_first;

/// The stage with the taps.
const TAPPED: usize = 2;

/// Strides of the downsamplings behind stages 0, 1 and 2. MobileSAM gives the last one a stride of 1, so
/// that the grid is that of SAM's ViT.
const STRIDES: [usize; 3] = [2, 2, 1];

/// A stage with attention: the downsampling in front of it, and its blocks.
#[derive(Debug, Clone)]
struct AttentionStage {
    downsample: Downsample,
    blocks: Vec<TinyVitBlock>,
}

/// MobileSAM's image encoder, frozen: a TinyViT whose third stage is tapped.
///
/// Batch norms are folded when it is built, so training its parameters would not reach them. Batch-invariant
/// on a CPU: an image gives the same bits alone and in a batch. It computes in f32.
#[derive(Debug, Clone)]
pub struct TinyVitEncoder {
    config: TinyVitConfig,
    spec: EncoderSpec,
    patch_embed: PatchEmbed,
    convolutions: Vec<MbConv>,
    /// Stages 1 to 3.
    stages: Vec<AttentionStage>,
    neck: Neck,
}

impl TinyVitEncoder {
    pub(super) fn new(config: &TinyVitConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate().map_err(candle_core::Error::wrap)?;
        let TinyVitConfig { widths, depths, heads, windows, embedding_channels, .. } = config;
        let ([stem, ..], [shallow, ..]) = (*widths, *depths);
        let block = |layer: usize, index: usize| vb.pp("layers").pp(layer).pp("blocks").pp(index);
        let convolutions = (0..shallow).map(|i| MbConv::new(stem, block(0, i)));
        let inputs = widths.iter().zip(STRIDES).enumerate();
        let outputs = widths.iter().zip(depths).skip(1).zip(heads.iter().zip(windows));
        let stages = inputs.zip(outputs).map(|((layer, (from, stride)), (sizes, heads))| {
            let ((&width, &depth), (&heads, &window)) = (sizes, heads);
            let sizes = AttentionConfig { width, heads, window };
            let downsample = vb.pp("layers").pp(layer).pp("downsample");
            let blocks = (0..depth).map(|i| TinyVitBlock::new(sizes, block(layer + 1, i)));
            Ok(AttentionStage {
                // The checkpoint counts it to the stage before.
                downsample: Downsample::new(*from, width, stride, downsample)?,
                blocks: blocks.collect::<Result<_>>()?,
            })
        });
        let [.., deepest] = *widths;
        Ok(Self {
            spec: config.spec(),
            patch_embed: PatchEmbed::new(stem, vb.pp("patch_embed"))?,
            convolutions: convolutions.collect::<Result<_>>()?,
            stages: stages.collect::<Result<_>>()?,
            neck: Neck::new(deepest, *embedding_channels, vb.pp("neck"))?,
            config: config.clone(),
        })
    }

    /// The configuration of its parameters.
    pub fn config(&self) -> &TinyVitConfig {
        &self.config
    }

    /// The same encoder for another input side, sharing the parameters, none of which depends on it.
    ///
    /// # Errors
    /// When the side is not a multiple of 16.
    pub fn with_input_side(&self, input_side: usize) -> crate::Result<Self> {
        let config = TinyVitConfig { input_side, ..self.config.clone() };
        config.validate()?;
        Ok(Self { spec: config.spec(), config, ..self.clone() })
    }

    /// Features of a whole batch `[B, 3, S, S]` at once, with a `hook` on intermediate results under the
    /// names of MobileSAM's modules (`layers.1.blocks.0`), channels-last.
    ///
    /// # Errors
    /// When the shape is another, or a tensor operation or the hook fails.
    pub fn encode_hooked(&self, pixels: &Tensor, hook: ForwardHook<'_>) -> Result<ImageFeatures> {
        check_pixels(&self.spec, pixels)?;
        self.forward(pixels, hook)
    }

    /// The attention of one block alone, without its residual: `x [B, G, G, C]`, the same shape out. For
    /// comparisons; `stage` is 1 to 3.
    ///
    /// # Errors
    /// When there is no such block, or the channels are not its stage's.
    pub fn block_attention(&self, stage: usize, block: usize, x: &Tensor) -> Result<Tensor> {
        let found = stage.checked_sub(1).and_then(|i| self.stages.get(i)?.blocks.get(block));
        match found {
            Some(block) => block.attention(x),
            None => bail!("TinyViT: stage {stage} has no block {block} with attention"),
        }
    }

    fn forward(&self, pixels: &Tensor, hook: ForwardHook<'_>) -> Result<ImageFeatures> {
        let mut x = self.patch_embed.forward(&pixels.permute((0, 2, 3, 1))?.contiguous()?)?;
        hook.call("patch_embed", || Ok(x.clone()))?;
        for (i, block) in self.convolutions.iter().enumerate() {
            x = block.forward(&x)?;
            hook.call_named(|| format!("layers.0.blocks.{i}"), || Ok(x.clone()))?;
        }
        let tapped = self.config.tap_blocks();
        let mut taps = Vec::with_capacity(tapped.len());
        for (before, stage) in self.stages.iter().enumerate() {
            x = stage.downsample.forward(&x)?;
            hook.call_named(|| format!("layers.{before}.downsample"), || Ok(x.clone()))?;
            for (i, block) in stage.blocks.iter().enumerate() {
                x = block.forward(&x)?;
                hook.call_named(|| format!("layers.{}.blocks.{i}", before + 1), || Ok(x.clone()))?;
                if before + 1 == TAPPED && tapped.contains(&i) {
                    taps.push(channels_first(&x)?);
                }
            }
        }
        Ok(ImageFeatures { taps, embedding: self.neck.forward(&x)? })
    }
}

impl ImageEncoder for TinyVitEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn encode(&self, pixels: &Tensor) -> Result<ImageFeatures> {
        let tracked = pixels.track_op() || self.patch_embed.is_tracked();
        encode_images(&self.spec, pixels, tracked, |pixels| {
            self.forward(pixels, ForwardHook::default())
        })
    }
}

#[cfg(test)]
mod tests;
