//! Heads of an attention: sizes, operands, views of one head.

use crate::ops::matmul::{Beta, Matrix, MatrixMut, View, matmul};
use candle_core::{Result, Shape, bail};
use gemm::Parallelism;

/// Sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionSizes {
    pub(super) images: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) heads: usize,
    pub(super) per_head: usize,
}

/// Queries, keys and values.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
}

/// Gradients of queries, keys and values.
pub(super) struct Gradients {
    pub(super) q: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
}

/// One head of one image.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadIndex {
    pub(super) image: usize,
    pub(super) head: usize,
}

/// Consecutive tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenRange {
    pub(super) from: usize,
    pub(super) len: usize,
}

impl TokenRange {
    /// The first `len` tokens.
    pub(super) fn first(len: usize) -> Self {
        Self { from: 0, len }
    }
}

impl AttentionSizes {
    pub(super) fn new(q: &Shape, k: &Shape, v: &Shape, heads: usize) -> Result<Self> {
        let ((images, queries, channels), (_, keys, _)) = (q.dims3()?, k.dims3()?);
        let fits = k == v && k.dims() == [images, keys, channels];
        if !fits || heads == 0 || !channels.is_multiple_of(heads) || keys == 0 {
            bail!("attention with {heads} heads: q {q:?}, k {k:?} and v {v:?} do not fit");
        }
        Ok(Self { images, queries, keys, heads, per_head: channels / heads })
    }

    pub(super) fn channels(&self) -> usize {
        self.heads * self.per_head
    }

    /// Factor of the scores, `1 / √D`.
    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.per_head.max(1) as f32).sqrt()
    }

    /// A view of tokens `from .. from + len` of one head, of an image of `tokens` tokens.
    pub(super) fn head<'a>(
        &self,
        numbers: &'a [f32],
        of: HeadIndex,
        tokens: usize,
        range: TokenRange,
    ) -> Matrix<'a, f32> {
        let TokenRange { from, len } = range;
        let start = (of.image * tokens + from) * self.channels() + of.head * self.per_head;
        self.view(len).on(&numbers[start..])
    }

    /// Layout of `len` tokens of one head among the others.
    pub(super) fn view(&self, len: usize) -> View {
        View::strided(len, self.per_head, self.channels())
    }
}

/// `out ← a · b` on this thread.
pub(super) fn product(
    out: MatrixMut<'_, f32>,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
) -> Result<()> {
    matmul(out, a, b, Beta::Zero, Parallelism::None)
}

/// `x · by`.
pub(super) fn scaled(x: &[f32], by: f32) -> Vec<f32> {
    x.iter().map(|x| x * by).collect()
}
