//! Cross attention on the CPU: shapes, and the choice between the two layouts of scores.

use super::{few_keys, few_queries};
use crate::ops::matmul::{Beta, Matrix, MatrixMut, Stored, View, dense, matmul};
use crate::ops::vector::f32s;
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use gemm::Parallelism;

/// The op `(q, k, v) → y`, f32.
pub(super) struct CrossAttention {
    pub(super) heads: usize,
}

/// Sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
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

impl Sizes {
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

impl CustomOp3 for CrossAttention {
    fn name(&self) -> &'static str {
        "desam-cross-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(ql.shape(), kl.shape(), vl.shape(), self.heads)?;
        let stored: [Stored<'_>; 3] = [(q, ql), (k, kl), (v, vl)];
        let inputs = Inputs { q: dense(stored[0])?, k: dense(stored[1])?, v: dense(stored[2])? };
        // Vectors run along the longer sequence.
        let y = if sizes.queries < sizes.keys {
            few_queries::forward(inputs, sizes)?
        } else {
            few_keys::forward(inputs, sizes)?
        };
        Ok((CpuStorage::F32(y), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let sizes = Sizes::new(q.shape(), k.shape(), v.shape(), self.heads)?;
        let ((qs, ql), (ks, kl)) = (q.storage_and_layout(), k.storage_and_layout());
        let ((vs, vl), (gs, gl)) = (v.storage_and_layout(), grad.storage_and_layout());
        let inputs = Inputs { q: f32s(&qs, ql)?, k: f32s(&ks, kl)?, v: f32s(&vs, vl)? };
        let g = f32s(&gs, gl)?;
        let gradients = if sizes.queries < sizes.keys {
            few_queries::backward(inputs, g, sizes)?
        } else {
            few_keys::backward(inputs, g, sizes)?
        };
        let tensor = |numbers: Vec<f32>, of: &Tensor| -> Result<Option<Tensor>> {
            Ok(Some(Tensor::from_vec(numbers, of.shape(), &Device::Cpu)?))
        };
        Ok((tensor(gradients.q, q)?, tensor(gradients.k, k)?, tensor(gradients.v, v)?))
    }
}
