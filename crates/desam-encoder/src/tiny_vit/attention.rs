//! Window attention of a TinyViT.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use desam_nn::layers::{Epilogue, LayerNorm, Linear, fan_in_uniform};
use desam_nn::ops::linear::{Affine, linear};
use desam_nn::ops::rel_pos_bias_attention::{RelPosBiasAttention, rel_pos_bias_attention};

/// Epsilon of the layer norms.
pub(super) const EPS: f64 = 1e-5;

/// Relative position biases where the checkpoint has none, large enough to tell positions apart.
const BIASES: Init = Init::Randn { mean: 0.0, stdev: 0.2 };

/// Sizes of an [`Attention`].
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionConfig {
    /// Channels in and out.
    pub(super) width: usize,
    /// Heads.
    pub(super) heads: usize,
    /// Side of a window, tokens.
    pub(super) window: usize,
}

/// Attention within windows, its layer norm inside: `norm`, `qkv`, `attention_biases`, `proj`.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    norm: LayerNorm,
    /// `[3C, C]`, its rows reordered from head by head, as the checkpoint has them, to queries, keys and
    /// values of all heads.
    weight: Tensor,
    /// `[3C]`, reordered likewise.
    bias: Tensor,
    /// Queries, keys and values of a padding token, `[3C]`. It is zero before the norm, so after it it is
    /// the norm's bias.
    padding: Tensor,
    /// `[heads, window²]`
    biases: Tensor,
    proj: Linear,
}

impl Attention {
    pub(super) fn new(config: AttentionConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let AttentionConfig { width, heads, window } = config;
        let norm = LayerNorm::new(width, EPS, vb.pp("norm"))?;
        let (qkv, hint) = (vb.pp("qkv"), fan_in_uniform(width));
        let weight = qkv.get_with_hints((3 * width, width), "weight", hint)?;
        let bias = qkv.get_with_hints(3 * width, "bias", hint)?;
        let depth = width / heads;
        let weight = weight.reshape((heads, 3, depth * width))?.transpose(0, 1)?.contiguous()?;
        let weight = weight.reshape((3 * width, width))?;
        let bias = bias.reshape((heads, 3, depth))?.transpose(0, 1)?.contiguous()?;
        let bias = bias.reshape(3 * width)?;
        let affine = Affine { weight: &weight, bias: Some(&bias) };
        let zero = norm.parameters().bias.reshape((1, width))?;
        let padding = linear(&zero, affine, Epilogue::default())?.reshape(3 * width)?;
        Ok(Self {
            biases: vb.get_with_hints((heads, window * window), "attention_biases", BIASES)?,
            proj: Linear::new(width, width, vb.pp("proj"))?,
            norm,
            weight,
            bias,
            padding,
        })
    }

    /// Attention over `x [B, G, G, C]` within each window, with an epilogue behind the projection.
    pub(super) fn forward(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let affine = Affine { weight: &self.weight, bias: Some(&self.bias) };
        let qkv = linear(&self.norm.forward(x)?, affine, Epilogue::default())?;
        let attention = RelPosBiasAttention { padding: &self.padding, biases: &self.biases };
        self.proj.forward_with(&rel_pos_bias_attention(&qkv, attention)?, epilogue)
    }
}
