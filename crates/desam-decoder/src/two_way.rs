//! SAM's two-way transformer: tokens attend to the image, the image attends to the tokens.
//!
//! The order of the layers is written once, in [`TwoWayTransformer::run`]. Three [`Engine`]s compute
//! the attention between tokens and image: [`module`] layer by layer with gradients, [`absorbed`]
//! for many prompts of one image on a CPU, and [`batched`] for many prompts of one image on a GPU.

mod absorbed;
mod batched;
mod block;
mod module;

pub(crate) use absorbed::{AbsorbedOptions, AbsorbedOutput, SharedImage};

use crate::DecoderConfig;
use block::TwoWayBlock;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{Attention, AttentionConfig, LayerNorm};

/// PyTorch's default for `nn.LayerNorm`, which SAM's transformer uses.
const EPS: f64 = 1e-5;

/// Outputs of the two-way transformer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TwoWayOutput {
    /// Tokens, `[N, T, E]`.
    pub tokens: Tensor,
    /// Image tokens, row by row, `[N, G·G, E]`.
    pub image: Tensor,
}

/// The attention between tokens and image. An engine holds the image tokens, in whatever layout it
/// computes on; [`TwoWayTransformer::run`] holds the tokens.
trait Engine {
    /// Token-to-image attention: `queries [N, T, E]` attend to the image, keys with positions and
    /// values without. Returns `[N, T, E]`.
    fn attend_to_image(&mut self, attention: &Attention, queries: &Tensor) -> Result<Tensor>;

    /// Image-to-token attention with its residual and norm: the image, as queries with positions,
    /// attends to `keys` and `values` `[N, T, E]`, and `norm4` of the sum is the new image.
    fn update_image(&mut self, block: &TwoWayBlock, tokens: TokenInputs<'_>) -> Result<()>;

    /// The last token-to-image attention with its residual and norm: the new tokens, `[N, T, E]`.
    fn finish(&mut self, last: FinalLayer<'_>, tokens: TokenInputs<'_>) -> Result<Tensor>;
}

/// Tokens as inputs of an attention, `[N, T, E]` each.
#[derive(Debug, Clone, Copy)]
struct TokenInputs<'a> {
    /// With the prompts' positions (the initial tokens) added.
    positioned: &'a Tensor,
    /// Without.
    plain: &'a Tensor,
}

/// The attention behind the last block, and its norm.
#[derive(Debug, Clone, Copy)]
struct FinalLayer<'a> {
    attention: &'a Attention,
    norm: &'a LayerNorm,
}

/// Sizes of the transformer's two kinds of attention.
struct AttentionSizes {
    /// Among the tokens.
    self_attention: AttentionConfig,
    /// Between tokens and image, with fewer channels inside.
    cross_attention: AttentionConfig,
}

impl AttentionSizes {
    fn new(config: &DecoderConfig) -> Self {
        let width = config.embedding_channels;
        let with = |inner| AttentionConfig { width, inner, heads: config.heads };
        Self { self_attention: with(width), cross_attention: with(config.cross_width) }
    }
}

/// SAM's `TwoWayTransformer`.
#[derive(Debug, Clone)]
pub struct TwoWayTransformer {
    blocks: Vec<TwoWayBlock>,
    final_attn: Attention,
    norm: LayerNorm,
}

impl TwoWayTransformer {
    /// Builds it under the official names.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape.
    pub fn new(config: &DecoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let blocks = (0..config.transformer_depth)
            .map(|i| TwoWayBlock::new(config, i == 0, vb.pp("layers").pp(i)));
        let sizes = AttentionSizes::new(config);
        let final_attn = vb.pp("final_attn_token_to_image");
        Ok(Self {
            blocks: blocks.collect::<Result<_>>()?,
            final_attn: Attention::new(sizes.cross_attention, final_attn)?,
            norm: LayerNorm::new(config.embedding_channels, EPS, vb.pp("norm_final_attn"))?,
        })
    }

    /// Runs all layers over `tokens [N, T, E]`, which are also their own positional encoding (SAM).
    /// Returns the new tokens; the image is the engine's.
    fn run<E: Engine>(&self, engine: &mut E, tokens: &Tensor) -> Result<Tensor> {
        // SAM adds the initial tokens again in every attention, for "a strong dependence on both the prompt
        // token's geometric location and type" (Kirillov et al. 2023, appendix A).
        let positions = tokens;
        let mut x = tokens.clone();
        for block in &self.blocks {
            x = block.self_attention(&x, positions)?;
            let attended = engine.attend_to_image(&block.token_to_image, &(&x + positions)?)?;
            x = block.mlp(&x, &attended)?;
            let inputs = TokenInputs { positioned: &(&x + positions)?, plain: &x };
            // The image attends to tokens that have already been updated by this block.
            engine.update_image(block, inputs)?;
        }
        let last = FinalLayer { attention: &self.final_attn, norm: &self.norm };
        engine.finish(last, TokenInputs { positioned: &(&x + positions)?, plain: &x })
    }
}
