//! SAM's two-way transformer: tokens look at the image, the image looks back.

mod batch;
mod shared;

pub(crate) use shared::{SharedImage, SharedOutput};

use crate::DecoderConfig;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{
    Activation, Attention, AttentionConfig, AttentionInputs, Epilogue, LayerNorm, MlpBlock,
};
use desam_nn::ops::pointwise::broadcast_add;

/// PyTorch's default for `nn.LayerNorm`, which SAM's transformer uses.
const EPS: f64 = 1e-5;

/// What the transformer makes of tokens and image.
#[derive(Debug, Clone)]
pub struct TwoWayOutput {
    /// Tokens, `[N, T, E]`.
    pub tokens: Tensor,
    /// Image tokens, row by row, `[N, G·G, E]`.
    pub image: Tensor,
}

/// One block of attention in both directions.
#[derive(Debug, Clone)]
struct TwoWayBlock {
    self_attn: Attention,
    norm1: LayerNorm,
    token_to_image: Attention,
    norm2: LayerNorm,
    mlp: MlpBlock,
    norm3: LayerNorm,
    norm4: LayerNorm,
    image_to_token: Attention,
    /// The first block's self attention sees no positions and replaces the tokens (SAM).
    is_first: bool,
}

impl TwoWayBlock {
    fn new(config: &DecoderConfig, is_first: bool, vb: VarBuilder<'_>) -> Result<Self> {
        let e = config.embedding_channels;
        let [inside, across] = attention_sizes(config);
        Ok(Self {
            self_attn: Attention::new(inside, vb.pp("self_attn"))?,
            norm1: LayerNorm::new(e, EPS, vb.pp("norm1"))?,
            token_to_image: Attention::new(across, vb.pp("cross_attn_token_to_image"))?,
            norm2: LayerNorm::new(e, EPS, vb.pp("norm2"))?,
            mlp: MlpBlock::new(e, config.mlp_width, Activation::Relu, vb.pp("mlp"))?,
            norm3: LayerNorm::new(e, EPS, vb.pp("norm3"))?,
            norm4: LayerNorm::new(e, EPS, vb.pp("norm4"))?,
            image_to_token: Attention::new(across, vb.pp("cross_attn_image_to_token"))?,
            is_first,
        })
    }

    fn forward(
        &self,
        x: TwoWayOutput,
        token_pe: &Tensor,
        image_pe: &Tensor,
    ) -> Result<TwoWayOutput> {
        let TwoWayOutput { tokens, image } = x;
        let tokens = self.among_tokens(&tokens, token_pe)?;
        let (q, k) = ((&tokens + token_pe)?, broadcast_add(&image, image_pe)?);
        let to_image = AttentionInputs { q: &q, k: &k, v: &image };
        let tokens = self.heard(&tokens, &self.token_to_image.forward(to_image)?)?;
        let q = (&tokens + token_pe)?;
        let to_token = AttentionInputs { q: &k, k: &q, v: &tokens };
        let epilogue = Epilogue::add_norm(&image, self.norm4.parameters());
        let image = self.image_to_token.forward_with(to_token, epilogue)?;
        Ok(TwoWayOutput { image, tokens })
    }
}

impl TwoWayBlock {
    /// The tokens after they have attended to each other.
    fn among_tokens(&self, tokens: &Tensor, token_pe: &Tensor) -> Result<Tensor> {
        if self.is_first {
            let inputs = AttentionInputs { q: tokens, k: tokens, v: tokens };
            return self.norm1.forward(&self.self_attn.forward(inputs)?);
        }
        let q = (tokens + token_pe)?;
        let inputs = AttentionInputs { q: &q, k: &q, v: tokens };
        let epilogue = Epilogue::add_norm(tokens, self.norm1.parameters());
        self.self_attn.forward_with(inputs, epilogue)
    }

    /// The tokens after the image has answered.
    fn heard(&self, tokens: &Tensor, from_image: &Tensor) -> Result<Tensor> {
        let tokens = self.norm2.forward(&(tokens + from_image)?)?;
        self.mlp.forward_with(&tokens, Epilogue::add_norm(&tokens, self.norm3.parameters()))
    }
}

fn attention_sizes(config: &DecoderConfig) -> [AttentionConfig; 2] {
    let width = config.embedding_channels;
    [width, config.cross_width].map(|inner| AttentionConfig { width, inner, heads: config.heads })
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
    /// When a parameter cannot be had.
    pub fn new(config: &DecoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let blocks = (0..config.transformer_depth)
            .map(|i| TwoWayBlock::new(config, i == 0, vb.pp("layers").pp(i)));
        let [_, across] = attention_sizes(config);
        Ok(Self {
            blocks: blocks.collect::<Result<_>>()?,
            final_attn: Attention::new(across, vb.pp("final_attn_token_to_image"))?,
            norm: LayerNorm::new(config.embedding_channels, EPS, vb.pp("norm_final_attn"))?,
        })
    }

    /// `image [N, G·G, E]`, its positions `[1, G·G, E]`, `tokens [N, T, E]`, which are their own
    /// positions.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(
        &self,
        image: Tensor,
        image_pe: &Tensor,
        tokens: &Tensor,
    ) -> Result<TwoWayOutput> {
        let mut x = TwoWayOutput { tokens: tokens.clone(), image };
        for block in &self.blocks {
            x = block.forward(x, tokens, image_pe)?;
        }
        let (q, k) = ((&x.tokens + tokens)?, broadcast_add(&x.image, image_pe)?);
        let inputs = AttentionInputs { q: &q, k: &k, v: &x.image };
        let epilogue = Epilogue::add_norm(&x.tokens, self.norm.parameters());
        let tokens = self.final_attn.forward_with(inputs, epilogue)?;
        Ok(TwoWayOutput { tokens, image: x.image })
    }
}
