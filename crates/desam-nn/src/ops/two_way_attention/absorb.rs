//! The image's projections, moved to the tokens' side.

use super::tiles::STRIDE;
use crate::ops::gemm_conv::ROWS;
use crate::ops::linear::Affine;
use crate::ops::matmul::{Store, View, matmul};
use crate::ops::vector::{build, f32s};
use candle_core::{Result, Tensor, bail};
use gemm::Parallelism;

/// Tokens after their own projection, `[N, T, inner]`.
#[derive(Debug, Clone, Copy)]
pub struct Projected<'a> {
    /// The numbers.
    pub tokens: &'a Tensor,
    /// Heads, of `inner / heads` channels each.
    pub heads: usize,
}

/// Sizes of one side of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) prompts: usize,
    pub(super) tokens: usize,
    pub(super) heads: usize,
    pub(super) inner: usize,
    /// Channels of the image.
    pub(super) width: usize,
}

impl Sizes {
    fn new(of: Projected<'_>, width: usize) -> Result<Self> {
        let (prompts, tokens, inner) = of.tokens.dims3()?;
        if of.heads == 0 || !inner.is_multiple_of(of.heads) || tokens == 0 || inner == 0 {
            bail!("exchange: {:?} does not split into {} heads", of.tokens.shape(), of.heads);
        }
        Ok(Self { prompts, tokens, heads: of.heads, inner, width })
    }

    pub(super) fn rows(&self) -> usize {
        self.heads * self.tokens
    }

    fn per_head(&self) -> usize {
        self.inner / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.per_head() as f32).sqrt()
    }

    /// Numbers of a prompt's keys of `depth` channels, with room for a product's last tile.
    pub(super) fn keys(&self, depth: usize) -> usize {
        (self.rows() + ROWS) * depth
    }

    /// Numbers of a prompt's answers.
    pub(super) fn answers(&self) -> usize {
        self.width.next_multiple_of(ROWS) * self.rows()
    }

    /// One head of a prompt's projected tokens, `[T, per_head]`, from its first number on.
    fn head<'a>(&self, of: &'a [f32], prompt: usize, head: usize) -> (&'a [f32], View) {
        let begin = prompt * self.tokens * self.inner + head * self.per_head();
        (&of[begin..], View::strided(self.tokens, self.per_head(), self.inner))
    }
}

/// What the tokens ask of the image: scores are keys times `x`, `x` a token of the image with its
/// position. A part of a score that all pixels share is left out, since softmax is deaf to it.
#[derive(Debug)]
pub struct Asked {
    pub(super) sizes: Sizes,
    /// `[N, R (and a tile), E]`.
    pub(super) keys: Vec<f32>,
}

impl Asked {
    /// From the tokens' queries and the key projection of the image, `weight [inner, E]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn new(queries: Projected<'_>, key: Affine<'_>) -> Result<Self> {
        let sizes = Sizes::new(queries, key.weight.dim(1)?)?;
        Ok(Self { sizes, keys: absorbed(sizes, queries.tokens, key.weight)? })
    }
}

/// What the tokens tell the image: weights are softmax over the tokens of keys times `x` plus a
/// bias, and the image gets the weighted sum of the answers.
#[derive(Debug)]
pub struct Told {
    pub(super) sizes: Sizes,
    /// Whether keys are as they are, to be met with queries of the image, head by head.
    pub(super) by_head: bool,
    /// `[N, R (and a tile), E]`, or `[N, R (and a tile), inner / heads]`.
    pub(super) keys: Vec<f32>,
    /// `[N, R]`.
    pub(super) bias: Vec<f32>,
    /// `[N, E (whole tiles), R]`.
    pub(super) answers: Vec<f32>,
    /// `[E]`, what the image gets besides.
    pub(super) added: Vec<f32>,
}

impl Told {
    /// From the tokens' keys and values, the image's query projection `[inner, E]` and the output
    /// projection `[E, inner]`. Without a query projection the image must come with its queries.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn new(
        keys: Projected<'_>,
        values: &Tensor,
        query: Option<Affine<'_>>,
        out: Affine<'_>,
    ) -> Result<Self> {
        let sizes = Sizes::new(keys, out.weight.dim(0)?)?;
        let bias = match query.and_then(|q| q.bias) {
            Some(bias) => biases(sizes, keys.tokens, bias)?,
            None => vec![0.0; sizes.prompts * sizes.rows()],
        };
        let added = match out.bias {
            Some(bias) => bias.to_vec1::<f32>()?,
            None => vec![0.0; sizes.width],
        };
        if added.len() != sizes.width {
            bail!("exchange: {} biases for {} channels", added.len(), sizes.width);
        }
        let absorbed = match query {
            Some(query) => absorbed(sizes, keys.tokens, query.weight)?,
            None => separate(sizes, keys.tokens)?,
        };
        let answers = answers(sizes, values, out.weight)?;
        Ok(Self { sizes, by_head: query.is_none(), keys: absorbed, bias, answers, added })
    }
}

/// Row `(head, token)` is the token's part of that head, scaled, times the head's rows of `weight`.
fn absorbed(sizes: Sizes, tokens: &Tensor, weight: &Tensor) -> Result<Vec<f32>> {
    let Sizes { prompts, tokens: count, heads, inner, width } = sizes;
    if weight.dims() != [inner, width] {
        bail!("exchange: a projection of {:?}, expected [{inner}, {width}]", weight.dims());
    }
    let tokens = (tokens * f64::from(sizes.scale()))?.contiguous()?;
    let weight = weight.contiguous()?;
    let ((ts, tl), (ws, wl)) = (tokens.storage_and_layout(), weight.storage_and_layout());
    let (tokens, weight) = (f32s(&ts, tl)?, f32s(&ws, wl)?);
    let (len, per_head) = (sizes.keys(width), sizes.per_head());
    build(prompts * len, len, |prompt, keys| {
        for head in 0..heads {
            let right = (&weight[head * per_head * width..], View::dense(per_head, width));
            let to = (&mut keys[head * count * width..], View::dense(count, width));
            let left = sizes.head(tokens, prompt, head);
            matmul(to, left, right, Store::Replace, Parallelism::None)?;
        }
        Ok(())
    })
}

/// The tokens' parts of each head by themselves, scaled.
fn separate(sizes: Sizes, tokens: &Tensor) -> Result<Vec<f32>> {
    let tokens = tokens.contiguous()?;
    let (storage, layout) = tokens.storage_and_layout();
    let numbers = f32s(&storage, layout)?;
    let (len, per_head) = (sizes.keys(sizes.per_head()), sizes.per_head());
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

/// Scaled keys times the queries' bias.
fn biases(sizes: Sizes, tokens: &Tensor, bias: &Tensor) -> Result<Vec<f32>> {
    let bias = bias.to_vec1::<f32>()?;
    if bias.len() != sizes.inner {
        bail!("exchange: {} biases for {} channels", bias.len(), sizes.inner);
    }
    let per_head = sizes.per_head();
    let keys = separate(sizes, tokens)?;
    let mut out = Vec::with_capacity(sizes.prompts * sizes.rows());
    for keys in keys.chunks_exact(sizes.keys(per_head)) {
        for (row, key) in keys.chunks_exact(per_head).take(sizes.rows()).enumerate() {
            let of_head = bias[row / sizes.tokens * per_head..].iter();
            out.push(key.iter().zip(of_head).map(|(k, b)| k * b).sum());
        }
    }
    Ok(out)
}

/// Column `(head, token)` is what the image gets of that token's values: `[E, R]` a prompt.
fn answers(sizes: Sizes, values: &Tensor, out: &Tensor) -> Result<Vec<f32>> {
    let Sizes { prompts, tokens: count, heads, inner, width } = sizes;
    if out.dims() != [width, inner] || values.dims() != [prompts, count, inner] {
        bail!("exchange: values of {:?} and an output of {:?}", values.dims(), out.dims());
    }
    let (values, out) = (values.contiguous()?, out.contiguous()?);
    let ((vs, vl), (os, ol)) = (values.storage_and_layout(), out.storage_and_layout());
    let (values, out) = (f32s(&vs, vl)?, f32s(&os, ol)?);
    let (len, per_head) = (sizes.answers(), sizes.per_head());
    build(prompts * len, len, |prompt, answers| {
        for head in 0..heads {
            let right = (&out[head * per_head..], View::strided(width, per_head, inner).t());
            let to = View::strided(width, count, sizes.rows()).t();
            let left = sizes.head(values, prompt, head);
            let to = (&mut answers[head * count..], to);
            matmul(to, left, right, Store::Replace, Parallelism::None)?;
        }
        Ok(())
    })
}

/// Numbers of rows of scores along a stretch.
pub(super) fn scores_len(rows: usize) -> usize {
    rows.next_multiple_of(ROWS) * STRIDE
}
