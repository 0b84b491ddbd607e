//! A transformer block of the image encoder.

use super::VitConfig;
use super::attention::{Attention, AttentionConfig};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{Activation, Epilogue, LayerNorm, MlpBlock, SumAndNorm};

/// Epsilon of the layer norms in SAM's image encoder.
const EPS: f64 = 1e-6;

/// SAM's pre-norm `Block`: `norm1`, `attn`, residual; `norm2`, `mlp`, residual. Each residual is fused
/// with the norm that follows it, also across blocks.
#[derive(Debug, Clone)]
pub(super) struct Block {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    mlp: MlpBlock,
    global: bool,
}

impl Block {
    pub(super) fn new(config: &VitConfig, index: usize, vb: VarBuilder<'_>) -> Result<Self> {
        // Most blocks attend within windows of 14 × 14 tokens; the few global ones connect them.
        let global = config.global_blocks.contains(&index);
        let attention = AttentionConfig {
            width: config.width,
            heads: config.heads,
            side: if global { config.grid() } else { config.window },
        };
        Ok(Self {
            norm1: LayerNorm::new(config.width, EPS, vb.pp("norm1"))?,
            attention: Attention::new(attention, vb.pp("attn"))?,
            norm2: LayerNorm::new(config.width, EPS, vb.pp("norm2"))?,
            mlp: MlpBlock::new(config.width, config.mlp_width, Activation::Gelu, vb.pp("mlp"))?,
            global,
        })
    }

    /// The same block for a grid of side `grid`: the relative positions of global attention are
    /// resampled; attention windows keep their size.
    pub(super) fn with_grid(&self, grid: usize) -> Result<Self> {
        let attention =
            if self.global { self.attention.with_side(grid)? } else { self.attention.clone() };
        Ok(Self { attention, ..self.clone() })
    }

    /// Whether its attention is global and not windowed.
    pub(super) fn is_global(&self) -> bool {
        self.global
    }

    /// Norm 1 of `x [B, G, G, C]`, the attention's input, in the weights' type.
    pub(super) fn norm1(&self, x: &Tensor) -> Result<Tensor> {
        self.norm1.forward_as(x, self.attention.compute_dtype())
    }

    /// Attention over `normed`, the output of [`norm1`](Self::norm1), with the residual `x
    /// [B, G, G, C]` added; and norm 2 of the sum.
    pub(super) fn attn_residual_norm2(&self, normed: Tensor, x: &Tensor) -> Result<SumAndNorm> {
        self.attention.forward_with_sum(&normed, x, &self.norm2)
    }

    /// Queries, keys and values of `normed`, `[B, G, G, 3C]` without their bias.
    pub(super) fn qkv(&self, normed: &Tensor) -> Result<Tensor> {
        self.attention.qkv(normed)
    }

    /// The bias of queries, keys and values, `[3C]`.
    pub(super) fn qkv_bias(&self) -> &Tensor {
        self.attention.qkv_bias()
    }

    /// [`attn_residual_norm2`](Self::attn_residual_norm2) of queries, keys and values without their
    /// bias.
    pub(super) fn attend_residual_norm2(&self, qkv: &Tensor, x: &Tensor) -> Result<SumAndNorm> {
        self.attention.attend_with_sum(qkv, x, &self.norm2)
    }

    /// Perceptron over norm 2 with its residual: the block's output `[B, G, G, C]`.
    pub(super) fn mlp_residual(&self, x: SumAndNorm) -> Result<Tensor> {
        self.mlp.forward_with(&x.normed, Epilogue::add(&x.sum))
    }

    /// [`mlp_residual`](Self::mlp_residual), and norm 1 of the `next` block over it.
    pub(super) fn mlp_residual_norm1(&self, next: &Self, x: SumAndNorm) -> Result<SumAndNorm> {
        let epilogue = Epilogue::add_norm(&x.sum, next.norm1.parameters());
        // The sum, the residual stream, stays f32; the norm's output enters a product and is in its
        // type.
        let epilogue = Epilogue { dtype: Some(x.normed.dtype()), ..epilogue };
        self.mlp.forward_with_sum(&x.normed, epilogue)
    }
}
