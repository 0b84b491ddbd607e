//! Attention between two sequences, as in SAM's mask decoder.

use super::Linear;
use crate::ops::cross_attention::cross_attention;
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
        self.out.forward(&self.mixed(q, k, v)?)
    }

    /// `to + forward(q, k, v)`, of which the sum alone is kept.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward_added(&self, [q, k, v]: [&Tensor; 3], to: &Tensor) -> Result<Tensor> {
        self.out.forward_added(&self.mixed(q, k, v)?, to)
    }

    /// `[N, Q, inner]`.
    fn mixed(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (q, k, v) = (self.q.forward(q)?, self.k.forward(k)?, self.v.forward(v)?);
        cross_attention(&q, &k, &v, self.heads)
    }
}
