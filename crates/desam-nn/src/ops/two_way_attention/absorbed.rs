//! Weight absorption: the image's projections, applied to the tokens instead.

use super::tiles::STRIDE;
use crate::ops::gemm_conv::ROWS;
use crate::ops::linear::Affine;
use crate::ops::matmul::{Beta, Matrix, View, matmul};
use crate::ops::vector::{build, f32s};
use candle_core::{Result, Tensor, bail};
use gemm::Parallelism;

/// Projected tokens, `[N, T, inner]`: their keys or queries.
#[derive(Debug, Clone, Copy)]
pub struct ProjectedTokens<'a> {
    /// The projected tokens.
    pub tokens: &'a Tensor,
    /// Heads, of `inner / heads` channels each.
    pub heads: usize,
}

/// Sizes of one direction of a two-way attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AbsorbedSizes {
    pub(super) prompts: usize,
    pub(super) tokens: usize,
    pub(super) heads: usize,
    pub(super) inner: usize,
    /// Channels of the image.
    pub(super) width: usize,
}

impl AbsorbedSizes {
    fn new(of: ProjectedTokens<'_>, width: usize) -> Result<Self> {
        let (prompts, tokens, inner) = of.tokens.dims3()?;
        if of.heads == 0 || !inner.is_multiple_of(of.heads) || tokens == 0 || inner == 0 {
            bail!(
                "two-way attention: {:?} does not split into {} heads",
                of.tokens.shape(),
                of.heads
            );
        }
        Ok(Self { prompts, tokens, heads: of.heads, inner, width })
    }

    /// Rows of scores a prompt, `R`.
    pub(super) fn rows(&self) -> usize {
        self.heads * self.tokens
    }

    fn per_head(&self) -> usize {
        self.inner / self.heads
    }

    /// Factor of the scores, `1 / √D`.
    fn scale(&self) -> f32 {
        1.0 / (self.per_head() as f32).sqrt()
    }

    /// Length of a prompt's keys of `depth` channels; the microkernel's last tile reads up to `ROWS`
    /// rows more.
    pub(super) fn keys_len(&self, depth: usize) -> usize {
        (self.rows() + ROWS) * depth
    }

    /// Length of a prompt's output values.
    pub(super) fn values_len(&self) -> usize {
        self.width.next_multiple_of(ROWS) * self.rows()
    }

    /// A view of one head of a prompt's projected tokens, `[T, per_head]`.
    fn head<'a>(&self, of: &'a [f32], prompt: usize, head: usize) -> Matrix<'a, f32> {
        let begin = prompt * self.tokens * self.inner + head * self.per_head();
        View::strided(self.tokens, self.per_head(), self.inner).on(&of[begin..])
    }
}

/// Attention of tokens to an image: the tokens' queries with the image's key projection absorbed.
/// Scores are `keys · x`, `x` a token of the image with its position. The part of a score that comes
/// from the key projection's bias is the same for all pixels and lhs out: it cancels in the softmax.
#[derive(Debug)]
pub struct TokenToImage {
    pub(super) sizes: AbsorbedSizes,
    /// Absorbed queries, the lhs-hand rows of the scores: `[N, R (and a tile), E]`.
    pub(super) keys: Vec<f32>,
}

impl TokenToImage {
    /// Absorbs the image's key projection, `weight [inner, E]`, into the tokens' queries.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn new(queries: ProjectedTokens<'_>, key: Affine<'_>) -> Result<Self> {
        let sizes = AbsorbedSizes::new(queries, key.weight.dim(1)?)?;
        Ok(Self { sizes, keys: absorbed(sizes, queries.tokens, key.weight)? })
    }
}

/// Attention of an image to tokens: the tokens' keys with the image's query projection absorbed, and
/// their values with the output projection applied. Weights are the softmax over a head's tokens of
/// `keys · x + score_bias`; the output is the weighted sum of the values, plus the output's bias.
#[derive(Debug)]
pub struct ImageToToken {
    pub(super) sizes: AbsorbedSizes,
    /// Whether the query projection is not absorbed: keys are then multiplied with projected queries
    /// of the image, head by head.
    pub(super) per_head: bool,
    /// `[N, R (and a tile), E]`, or `[N, R (and a tile), inner / heads]` where nothing is absorbed.
    pub(super) keys: Vec<f32>,
    /// Keys times the query projection's bias, `[N, R]`.
    pub(super) score_bias: Vec<f32>,
    /// Values with the output projection applied, `[N, E (whole tiles), R]`.
    pub(super) values: Vec<f32>,
    /// Bias of the output projection, `[E]`.
    pub(super) output_bias: Vec<f32>,
}

impl ImageToToken {
    /// Absorbs the image's query projection `[inner, E]` into the tokens' keys and applies the output
    /// projection `[E, inner]` to their values. Without a query projection the image must come with
    /// projected queries.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn new(
        keys: ProjectedTokens<'_>,
        values: &Tensor,
        query: Option<Affine<'_>>,
        out: Affine<'_>,
    ) -> Result<Self> {
        let sizes = AbsorbedSizes::new(keys, out.weight.dim(0)?)?;
        let score_bias = match query.and_then(|q| q.bias) {
            Some(bias) => score_biases(sizes, keys.tokens, bias)?,
            None => vec![0.0; sizes.prompts * sizes.rows()],
        };
        let output_bias = match out.bias {
            Some(bias) => bias.to_vec1::<f32>()?,
            None => vec![0.0; sizes.width],
        };
        if output_bias.len() != sizes.width {
            bail!("two-way attention: {} biases for {} channels", output_bias.len(), sizes.width);
        }
        let per_head = query.is_none();
        let keys = match query {
            Some(query) => absorbed(sizes, keys.tokens, query.weight)?,
            None => scaled_by_head(sizes, keys.tokens)?,
        };
        let values = projected_values(sizes, values, out.weight)?;
        Ok(Self { sizes, per_head, keys, score_bias, values, output_bias })
    }
}

/// Absorbs a projection of the image, `weight [inner, E]`: row `(head, token)` is the token's part of
/// that head, scaled, times the head's rows of `weight`.
fn absorbed(sizes: AbsorbedSizes, tokens: &Tensor, weight: &Tensor) -> Result<Vec<f32>> {
    let AbsorbedSizes { prompts, tokens: count, heads, inner, width } = sizes;
    if weight.dims() != [inner, width] {
        bail!(
            "two-way attention: a projection of {:?}, expected [{inner}, {width}]",
            weight.dims()
        );
    }
    let tokens = (tokens * f64::from(sizes.scale()))?.contiguous()?;
    let weight = weight.contiguous()?;
    let ((ts, tl), (ws, wl)) = (tokens.storage_and_layout(), weight.storage_and_layout());
    let (tokens, weight) = (f32s(&ts, tl)?, f32s(&ws, wl)?);
    let (len, per_head) = (sizes.keys_len(width), sizes.per_head());
    build(prompts * len, len, |prompt, keys| {
        for head in 0..heads {
            let rhs = View::dense(per_head, width).on(&weight[head * per_head * width..]);
            let to = View::dense(count, width).on_mut(&mut keys[head * count * width..]);
            let lhs = sizes.head(tokens, prompt, head);
            matmul(to, lhs, rhs, Beta::Zero, Parallelism::None)?;
        }
        Ok(())
    })
}

/// The tokens' parts of each head, scaled, nothing absorbed: row `(head, token)`.
fn scaled_by_head(sizes: AbsorbedSizes, tokens: &Tensor) -> Result<Vec<f32>> {
    let tokens = tokens.contiguous()?;
    let (storage, layout) = tokens.storage_and_layout();
    let numbers = f32s(&storage, layout)?;
    let (len, per_head) = (sizes.keys_len(sizes.per_head()), sizes.per_head());
    build(sizes.prompts * len, len, |prompt, keys| {
        for (row, key) in keys.chunks_exact_mut(per_head).take(sizes.rows()).enumerate() {
            let (head, token) = (row / sizes.tokens, row % sizes.tokens);
            let begin = (prompt * sizes.tokens + token) * sizes.inner + head * per_head;
            let of = &numbers[begin..begin + per_head];
            key.iter_mut().zip(of).for_each(|(k, v)| *k = v * sizes.scale());
        }
        Ok(())
    })
}

/// Scaled keys times the bias of the query projection: what that bias adds to each score.
fn score_biases(sizes: AbsorbedSizes, tokens: &Tensor, bias: &Tensor) -> Result<Vec<f32>> {
    let bias = bias.to_vec1::<f32>()?;
    if bias.len() != sizes.inner {
        bail!("two-way attention: {} biases for {} channels", bias.len(), sizes.inner);
    }
    let per_head = sizes.per_head();
    let keys = scaled_by_head(sizes, tokens)?;
    let mut out = Vec::with_capacity(sizes.prompts * sizes.rows());
    for keys in keys.chunks_exact(sizes.keys_len(per_head)) {
        for (row, key) in keys.chunks_exact(per_head).take(sizes.rows()).enumerate() {
            let of_head = bias[row / sizes.tokens * per_head..].iter();
            out.push(key.iter().zip(of_head).map(|(k, b)| k * b).sum());
        }
    }
    Ok(out)
}

/// Applies the output projection to the tokens' values: column `(head, token)` is what that token adds
/// to a pixel at weight 1, `[E, R]` a prompt.
fn projected_values(sizes: AbsorbedSizes, values: &Tensor, out: &Tensor) -> Result<Vec<f32>> {
    let AbsorbedSizes { prompts, tokens: count, heads, inner, width } = sizes;
    if out.dims() != [width, inner] || values.dims() != [prompts, count, inner] {
        bail!("two-way attention: values of {:?} and an output of {:?}", values.dims(), out.dims());
    }
    let (values, out) = (values.contiguous()?, out.contiguous()?);
    let ((vs, vl), (os, ol)) = (values.storage_and_layout(), out.storage_and_layout());
    let (values, out) = (f32s(&vs, vl)?, f32s(&os, ol)?);
    let (len, per_head) = (sizes.values_len(), sizes.per_head());
    build(prompts * len, len, |prompt, projected| {
        for head in 0..heads {
            let rhs = View::strided(width, per_head, inner).on(&out[head * per_head..]).t();
            let to = View::strided(width, count, sizes.rows()).t();
            let lhs = sizes.head(values, prompt, head);
            let to = to.on_mut(&mut projected[head * count..]);
            matmul(to, lhs, rhs, Beta::Zero, Parallelism::None)?;
        }
        Ok(())
    })
}

/// Length of `rows` rows of scores over a chunk of pixels, in whole tiles.
pub(super) fn scores_len(rows: usize) -> usize {
    rows.next_multiple_of(ROWS) * STRIDE
}
