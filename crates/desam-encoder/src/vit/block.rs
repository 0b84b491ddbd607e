//! One transformer block.

use super::VitConfig;
use super::attention::{Attention, AttentionConfig};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{Activation, Epilogue, LayerNorm, MlpBlock, SumAndNorm};

/// SAM's layer norms in the image encoder.
pub(super) const EPS: f64 = 1e-6;

/// SAM's `Block`: `norm1`, `attn`, `norm2`, `mlp`.
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
        let global = config.global_blocks.contains(&index);
        let attention = AttentionConfig {
            width: config.width,
            heads: config.heads,
            side: if global { config.grid() } else { config.window },
        };
        let mlp = (config.width, config.mlp_width, Activation::Gelu);
        Ok(Self {
            norm1: LayerNorm::new(config.width, EPS, vb.pp("norm1"))?,
            attention: Attention::new(attention, vb.pp("attn"))?,
            norm2: LayerNorm::new(config.width, EPS, vb.pp("norm2"))?,
            mlp: MlpBlock::new(mlp.0, mlp.1, mlp.2, vb.pp("mlp"))?,
            global,
        })
    }

    /// The same for a grid of side `grid`; windows keep their size.
    pub(super) fn with_grid(&self, grid: usize) -> Result<Self> {
        let attention = match self.global {
            true => self.attention.with_side(grid)?,
            false => self.attention.clone(),
        };
        Ok(Self { attention, ..self.clone() })
    }

    /// Whether its attention is global.
    pub(super) fn is_global(&self) -> bool {
        self.global
    }

    /// What goes into its attention, of the weights' type: the first norm of `x [B, G, G, C]`.
    pub(super) fn enter(&self, x: &Tensor) -> Result<Tensor> {
        self.norm1.forward_as(x, self.attention.products())
    }

    /// What [`enter`](Self::enter) gave, after its attention, added to `x [B, G, G, C]`.
    pub(super) fn attend(&self, entered: Tensor, x: &Tensor) -> Result<SumAndNorm> {
        self.attention.forward_with_sum(&entered, x, &self.norm2)
    }

    /// What [`attend`](Self::attend) gave, after its perceptron: `[B, G, G, C]` of the type of `x`.
    pub(super) fn leave(&self, x: SumAndNorm) -> Result<Tensor> {
        self.mlp.forward_with(&x.normed, Epilogue::add(&x.sum))
    }

    /// [`leave`](Self::leave), with what goes into the `next` block.
    pub(super) fn leave_for(&self, next: &Self, x: SumAndNorm) -> Result<SumAndNorm> {
        let epilogue = Epilogue::add_norm(&x.sum, next.norm1.parameters());
        let epilogue = Epilogue { dtype: Some(x.normed.dtype()), ..epilogue };
        self.mlp.forward_with_sum(&x.normed, epilogue)
    }
}
