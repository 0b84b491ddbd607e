//! Attention between two sequences, as in SAM's mask decoder.

use super::{LayerNorm, Linear};
use crate::ops::cross_attention::cross_attention;
use crate::ops::two_way_attention::{Asked, Projected, Told, heard};
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

/// What is attended to, after its projections: `[N, K, inner]` each.
#[derive(Debug, Clone)]
pub struct KeysAndValues {
    keys: Tensor,
    values: Tensor,
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

    /// The norm of [`forward_added`](Self::forward_added), which itself is not kept.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward_normed(
        &self,
        [q, k, v]: [&Tensor; 3],
        to: &Tensor,
        norm: &LayerNorm,
    ) -> Result<Tensor> {
        self.out.forward_normed(&self.mixed(q, k, v)?, to, norm)
    }

    /// `[N, Q, inner]`.
    fn mixed(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (q, k, v) = (self.q.forward(q)?, self.k.forward(k)?, self.v.forward(v)?);
        cross_attention(&q, &k, &v, self.heads)
    }

    /// The queries of `x [N, Q, width]`, `[N, Q, inner]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn queries(&self, x: &Tensor) -> Result<Tensor> {
        self.q.forward(x)
    }

    /// Keys of `k` and values of `v`, to be attended to more than once.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn keys_and_values(&self, k: &Tensor, v: &Tensor) -> Result<KeysAndValues> {
        Ok(KeysAndValues { keys: self.k.forward(k)?, values: self.v.forward(v)? })
    }

    /// [`forward`](Self::forward) for queries `q [N, Q, width]` that all attend to the keys and
    /// values of one image, `[1, K, inner]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn attend(&self, q: &Tensor, to: &KeysAndValues) -> Result<Tensor> {
        let q = self.q.forward(q)?;
        let all = q.flatten_to(1)?.unsqueeze(0)?;
        let y = cross_attention(&all, &to.keys, &to.values, self.heads)?;
        self.out.forward(&y.reshape(q.shape())?)
    }

    /// `forward(q, image + places, image)` for `places [1, K, width]` that all of `image [N, K, width]`
    /// share; the sum is not made.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn look(&self, q: &Tensor, image: &Tensor, places: &Tensor) -> Result<Tensor> {
        let (keys, values) = (self.k.forward_placed(image, places)?, self.v.forward(image)?);
        self.out.forward(&cross_attention(&self.q.forward(q)?, &keys, &values, self.heads)?)
    }

    /// The norm of `image + forward(image + places, k, v)` for `k` and `v` `[N, K, width]`, of an image
    /// `[N, Q, width]` or `[1, Q, width]` and `places [1, Q, width]`; no sum is made beside it.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn answer_normed(
        &self,
        image: &Tensor,
        places: &Tensor,
        [k, v]: [&Tensor; 2],
        norm: &LayerNorm,
    ) -> Result<Tensor> {
        let KeysAndValues { keys, values } = self.keys_and_values(k, v)?;
        let queries = self.q.forward_placed(image, places)?;
        let (_, count, inner) = queries.dims3()?;
        let queries = queries.broadcast_as((keys.dim(0)?, count, inner))?;
        let y = cross_attention(&queries, &keys, &values, self.heads)?;
        self.out.forward_normed(&y, image, norm)
    }

    /// What tokens `[N, T, width]` ask of an image in an exchange
    /// ([`Exchange`](crate::ops::two_way_attention::Exchange)), in place of attending to it.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn ask(&self, tokens: &Tensor) -> Result<Asked> {
        let tokens = &self.q.forward(tokens)?;
        Asked::new(Projected { tokens, heads: self.heads }, self.k.affine())
    }

    /// What comes of it, `[N, T, width]`, for what was seen, `[N, width, heads · T]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn hear(&self, seen: &Tensor) -> Result<Tensor> {
        self.out.forward(&heard(seen, self.v.affine(), self.heads)?)
    }

    /// What tokens, `k` and `v` `[N, T, width]`, tell an image in an exchange, in place of being
    /// attended to by it. Where all prompts share the image, its [`queries`](Self::queries) can be
    /// made once and for all: `queried` says that they are.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn tell(&self, k: &Tensor, v: &Tensor, queried: bool) -> Result<Told> {
        let KeysAndValues { keys, values } = self.keys_and_values(k, v)?;
        let keys = Projected { tokens: &keys, heads: self.heads };
        let query = (!queried).then(|| self.q.affine());
        // With its own queries the image brings their bias along.
        Told::new(keys, &values, query, self.out.affine())
    }
}
