//! Attention between two sequences, as in SAM's mask decoder.

use super::Linear;
use crate::ops::softmax::softmax;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// Sizes of an [`Attention`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionConfig {
    /// Channels in and out.
    pub width: usize,
    /// Channels inside, a multiple of `heads`.
    pub inner: usize,
    /// Heads.
    pub heads: usize,
}

/// SAM's `Attention`: `q_proj`, `k_proj`, `v_proj`, `out_proj`, with an optional downsampling of
/// the channels inside.
#[derive(Debug, Clone)]
pub struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    heads: usize,
}

impl Attention {
    /// The four projections.
    ///
    /// # Errors
    /// When a parameter cannot be had.
    pub fn new(config: AttentionConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let AttentionConfig { width, inner, heads } = config;
        Ok(Self {
            q: Linear::new(width, inner, vb.pp("q_proj"))?,
            k: Linear::new(width, inner, vb.pp("k_proj"))?,
            v: Linear::new(width, inner, vb.pp("v_proj"))?,
            out: Linear::new(inner, width, vb.pp("out_proj"))?,
            heads,
        })
    }

    /// `q [N, Q, width]`, `k` and `v` `[N, K, width]` → `[N, Q, width]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let q = self.split(&self.q.forward(q)?)?;
        let k = self.split(&self.k.forward(k)?)?;
        let v = self.split(&self.v.forward(v)?)?;
        let scale = 1.0 / (q.dim(3)? as f64).sqrt();
        let scores = q.matmul(&k.t()?)?.affine(scale, 0.0)?;
        let mixed = softmax(&scores)?.matmul(&v)?;
        let (n, heads, tokens, per_head) = mixed.dims4()?;
        let joined = mixed.transpose(1, 2)?.reshape((n, tokens, heads * per_head))?;
        self.out.forward(&joined)
    }

    /// `[N, T, inner]` → `[N, heads, T, inner / heads]`.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (n, tokens, inner) = x.dims3()?;
        x.reshape((n, tokens, self.heads, inner / self.heads))?.transpose(1, 2)?.contiguous()
    }
}
