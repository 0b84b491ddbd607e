//! A block of the two-way transformer.

use super::{AttentionSizes, EPS};
use crate::DecoderConfig;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{Activation, Attention, AttentionInputs, Epilogue, LayerNorm, MlpBlock};

/// Self-attention, token-to-image attention, perceptron and image-to-token attention.
#[derive(Debug, Clone)]
pub(super) struct TwoWayBlock {
    self_attn: Attention,
    norm1: LayerNorm,
    pub(super) token_to_image: Attention,
    norm2: LayerNorm,
    mlp: MlpBlock,
    norm3: LayerNorm,
    pub(super) norm4: LayerNorm,
    pub(super) image_to_token: Attention,
    /// The first block's self-attention has no positions and no residual: it replaces the tokens
    /// (SAM's `skip_first_layer_pe`).
    is_first: bool,
}

impl TwoWayBlock {
    pub(super) fn new(config: &DecoderConfig, is_first: bool, vb: VarBuilder<'_>) -> Result<Self> {
        let e = config.embedding_channels;
        let AttentionSizes { self_attention, cross_attention } = AttentionSizes::new(config);
        Ok(Self {
            self_attn: Attention::new(self_attention, vb.pp("self_attn"))?,
            norm1: LayerNorm::new(e, EPS, vb.pp("norm1"))?,
            token_to_image: Attention::new(cross_attention, vb.pp("cross_attn_token_to_image"))?,
            norm2: LayerNorm::new(e, EPS, vb.pp("norm2"))?,
            // SAM's two-way transformer uses ReLU, its image encoder GELU.
            mlp: MlpBlock::new(e, config.mlp_width, Activation::Relu, vb.pp("mlp"))?,
            norm3: LayerNorm::new(e, EPS, vb.pp("norm3"))?,
            norm4: LayerNorm::new(e, EPS, vb.pp("norm4"))?,
            image_to_token: Attention::new(cross_attention, vb.pp("cross_attn_image_to_token"))?,
            is_first,
        })
    }

    /// Self-attention of the tokens `[N, T, E]`, then norm 1.
    pub(super) fn self_attention(&self, tokens: &Tensor, positions: &Tensor) -> Result<Tensor> {
        if self.is_first {
            let inputs = AttentionInputs { q: tokens, k: tokens, v: tokens };
            return self.norm1.forward(&self.self_attn.forward(inputs)?);
        }
        // Positions enter queries and keys, never values: they steer the attention without being
        // mixed into what it returns.
        let q = (tokens + positions)?;
        let inputs = AttentionInputs { q: &q, k: &q, v: tokens };
        self.self_attn.forward_with(inputs, Epilogue::add_norm(tokens, self.norm1.parameters()))
    }

    /// Residual of the token-to-image attention, norm 2, perceptron with residual, norm 3.
    pub(super) fn mlp(&self, tokens: &Tensor, attended: &Tensor) -> Result<Tensor> {
        // Post-norm: each norm follows its residual sum, where the image encoder's precede the
        // layers.
        let tokens = self.norm2.forward(&(tokens + attended)?)?;
        self.mlp.forward_with(&tokens, Epilogue::add_norm(&tokens, self.norm3.parameters()))
    }
}
