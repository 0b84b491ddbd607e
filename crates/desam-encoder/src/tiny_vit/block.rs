//! A transformer block of a TinyViT.

use super::attention::{Attention, AttentionConfig, EPS};
use super::folded_conv::Depthwise;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{Activation, Epilogue, LayerNorm, Linear};

/// Hidden channels of the perceptron for each channel of a token.
const MLP_RATIO: usize = 4;

/// MobileSAM's `TinyViTBlock`: attention with residual, a depthwise convolution without, perceptron with
/// residual.
#[derive(Debug, Clone)]
pub(super) struct TinyVitBlock {
    attention: Attention,
    local_conv: Depthwise,
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl TinyVitBlock {
    pub(super) fn new(config: AttentionConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (width, hidden) = (config.width, MLP_RATIO * config.width);
        let mlp = vb.pp("mlp");
        Ok(Self {
            attention: Attention::new(config, vb.pp("attn"))?,
            local_conv: Depthwise::new(width, 1, vb.pp("local_conv"))?,
            norm: LayerNorm::new(width, EPS, mlp.pp("norm"))?,
            fc1: Linear::new(width, hidden, mlp.pp("fc1"))?,
            fc2: Linear::new(hidden, width, mlp.pp("fc2"))?,
        })
    }

    /// `x [B, G, G, C]`, the same shape out.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.attention.forward(x, Epilogue::add(x))?;
        let x = self.local_conv.forward(&x, Activation::Identity)?;
        let hidden = self.fc1.forward_with(&self.norm.forward(&x)?, Activation::Gelu.into())?;
        self.fc2.forward_with(&hidden, Epilogue::add(&x))
    }

    /// Its attention alone, without the residual.
    pub(super) fn attention(&self, x: &Tensor) -> Result<Tensor> {
        self.attention.forward(x, Epilogue::default())
    }
}
