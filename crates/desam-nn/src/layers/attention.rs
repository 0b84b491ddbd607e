//! Multi-head attention between two sequences, as in SAM's mask decoder.

use super::Linear;
use crate::ops::cross_attention::cross_attention;
use crate::ops::layer_norm::NormParameters;
use crate::ops::linear::Epilogue;
use crate::ops::two_way_attention::{ImageToToken, ProjectedTokens, TokenToImage, absorbed_value};
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

/// Multi-head attention, SAM's `Attention`: `q_proj`, `k_proj`, `v_proj`, `out_proj`, with an optional
/// downsampling of the channels inside.
#[derive(Debug, Clone)]
pub struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    heads: usize,
}

/// Queries, keys and values before their projections: `q [N, Q, width]`, `k` and `v` `[N, K, width]`.
#[derive(Debug, Clone, Copy)]
pub struct AttentionInputs<'a> {
    /// Queries.
    pub q: &'a Tensor,
    /// Keys.
    pub k: &'a Tensor,
    /// Values.
    pub v: &'a Tensor,
}

/// Projected keys and values, `[N, K, inner]` each, for attention that is computed more than once.
#[derive(Debug, Clone)]
pub struct KeysAndValues {
    keys: Tensor,
    values: Tensor,
}

/// An image and its positional encodings, which all images share: `tokens [N, P, width]` or `[1, P,
/// width]`, `positions [1, P, width]`. Their sum is never stored: positions are projected once and
/// added to the projected tokens.
#[derive(Debug, Clone, Copy)]
pub struct PositionedImage<'a> {
    /// The image, row by row.
    pub tokens: &'a Tensor,
    /// Its positional encodings.
    pub positions: &'a Tensor,
}

impl Attention {
    /// The four projections.
    ///
    /// # Errors
    /// When a parameter is missing or of another shape.
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

    /// Attention of `q` to `k` and `v` → `[N, Q, width]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, inputs: AttentionInputs<'_>) -> Result<Tensor> {
        self.forward_with(inputs, Epilogue::default())
    }

    /// [`forward`](Self::forward) with an epilogue behind the output projection: residual, norm.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward_with(
        &self,
        inputs: AttentionInputs<'_>,
        epilogue: Epilogue<'_>,
    ) -> Result<Tensor> {
        let AttentionInputs { q, k, v } = inputs;
        let (q, k, v) = (self.q.forward(q)?, self.k.forward(k)?, self.v.forward(v)?);
        self.out.forward_with(&cross_attention(&q, &k, &v, self.heads)?, epilogue)
    }

    /// Projected queries of `x [N, Q, width]`, `[N, Q, inner]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn project_queries(&self, x: &Tensor) -> Result<Tensor> {
        self.q.forward(x)
    }

    /// Projected keys of `k` and values of `v`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn project_keys_and_values(&self, k: &Tensor, v: &Tensor) -> Result<KeysAndValues> {
        Ok(KeysAndValues { keys: self.k.forward(k)?, values: self.v.forward(v)? })
    }

    /// [`forward`](Self::forward) for queries `q [N, Q, width]` that all attend to the keys and
    /// values of one image, `[1, K, inner]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn attend_shared(&self, q: &Tensor, image: &KeysAndValues) -> Result<Tensor> {
        let q = self.q.forward(q)?;
        // One long sequence of queries: a batch would need the keys repeated.
        let all = q.flatten_to(1)?.unsqueeze(0)?;
        let y = cross_attention(&all, &image.keys, &image.values, self.heads)?;
        self.out.forward(&y.reshape(q.shape())?)
    }

    /// Attention of tokens `q [N, Q, width]` to an image: keys are the image with its positions,
    /// values the image.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn token_to_image(&self, q: &Tensor, image: PositionedImage<'_>) -> Result<Tensor> {
        let keys = self.k.forward_positioned(image.tokens, image.positions)?;
        let values = self.v.forward(image.tokens)?;
        self.out.forward(&cross_attention(&self.q.forward(q)?, &keys, &values, self.heads)?)
    }

    /// Attention of an image to tokens, `k` and `v` `[N, T, width]`, with residual and norm: the norm
    /// of `image + forward(image + positions, k, v)`, `[N, P, width]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn image_to_token(
        &self,
        image: PositionedImage<'_>,
        k: &Tensor,
        v: &Tensor,
        norm: NormParameters<'_>,
    ) -> Result<Tensor> {
        let KeysAndValues { keys, values } = self.project_keys_and_values(k, v)?;
        let queries = self.q.forward_positioned(image.tokens, image.positions)?;
        let (_, count, inner) = queries.dims3()?;
        let queries = queries.broadcast_as((keys.dim(0)?, count, inner))?;
        let y = cross_attention(&queries, &keys, &values, self.heads)?;
        self.out.forward_with(&y, Epilogue::add_norm(image.tokens, norm))
    }

    /// Absorbed key projection: queries of tokens `[N, T, width]` for a
    /// [`TwoWayAttention`](crate::ops::two_way_attention::TwoWayAttention), whose image then needs no
    /// key projection.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn absorbed_key(&self, tokens: &Tensor) -> Result<TokenToImage> {
        let tokens = &self.q.forward(tokens)?;
        TokenToImage::new(ProjectedTokens { tokens, heads: self.heads }, self.k.affine())
    }

    /// Absorbed value projection: the attention's output `[N, T, width]` from image tokens averaged by
    /// attention weights, `[N, width, heads · T]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn absorbed_value(&self, attended: &Tensor) -> Result<Tensor> {
        self.out.forward(&absorbed_value(attended, self.v.affine(), self.heads)?)
    }

    /// Absorbed query projection: keys and values of tokens, `k` and `v` `[N, T, width]`, for an image
    /// that attends to them in a two-way attention without a separate query projection. Where all
    /// prompts share the image its queries can be projected once instead
    /// ([`project_queries`](Self::project_queries)): `queried` says that they are.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn absorbed_query(&self, k: &Tensor, v: &Tensor, queried: bool) -> Result<ImageToToken> {
        let KeysAndValues { keys, values } = self.project_keys_and_values(k, v)?;
        let keys = ProjectedTokens { tokens: &keys, heads: self.heads };
        // Projected queries contain their bias already.
        let query = (!queried).then(|| self.q.affine());
        ImageToToken::new(keys, &values, query, self.out.affine())
    }
}
