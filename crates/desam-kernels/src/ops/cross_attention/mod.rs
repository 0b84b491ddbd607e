//! Multi-head cross-attention between a short and a long sequence, forward and backward, without
//! scores in memory (flash attention).

use crate::ops::column_sums::of_columns;
use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, blocks, module, run_op, suffix,
};
use candle_core::{DType, Result, Shape, Tensor, bail};

const FORWARD: Module = module!("cross_attention", CROSS_ATTENTION);
const BACKWARD: Module = module!("cross_attention_backward", CROSS_ATTENTION_BACKWARD);
const THREADS: usize = 256;
/// Elements of shared memory for keys and values.
const SHARED: usize = 12 * 1024;

/// Sizes of an attention of `q [N, Q, heads · D]` to `k` and `v [N, K, heads · D]`; none but `images`
/// and `queries` is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrossAttentionSizes {
    /// `N`
    pub images: usize,
    /// `Q`
    pub queries: usize,
    /// `K`
    pub keys: usize,
    /// Heads.
    pub heads: usize,
    /// `D`, the channels of a head.
    pub per_head: usize,
}

impl CrossAttentionSizes {
    fn channels(&self) -> usize {
        self.heads * self.per_head
    }

    /// Factor of the scores.
    fn scale(&self) -> f32 {
        1.0 / (self.per_head.max(1) as f32).sqrt()
    }

    /// Elements of shared memory for a key and its value; heads are padded by 4.
    fn of_a_key(&self) -> usize {
        2 * self.heads * (self.per_head + 4)
    }

    fn are_keys_few(&self) -> bool {
        self.queries >= self.keys
    }

    /// Blocks per image and head in the backward pass: one thread per token of the longer sequence.
    fn tiles(&self) -> usize {
        self.queries.max(self.keys).div_ceil(THREADS)
    }

    fn args(&self) -> Result<[KernelArgument; 4]> {
        let [queries, keys, heads] =
            [self.queries, self.keys, self.heads].map(KernelArgument::size);
        Ok([queries?, keys?, heads?, KernelArgument::F32(self.scale())])
    }

    fn kernel(&self, back: &str, dtype: DType) -> Result<String> {
        let few = if self.are_keys_few() { "keys" } else { "queries" };
        Ok(format!("cross_few_{few}{back}_{}_{}", self.per_head, suffix(dtype)?))
    }
}

/// `(q, k, v) → y`
#[derive(Debug)]
pub struct CrossAttention {
    sizes: CrossAttentionSizes,
    /// Whether `q` holds one image's queries, shared by all.
    repeated: bool,
    /// `[N, heads, Q]`, f32: gets the log-sum-exp of each query's scores, for the backward pass.
    seen: Option<Tensor>,
}

impl CrossAttention {
    /// The op on these tensors, of these sizes. `None` where no kernel takes the width of a head or
    /// the types differ.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn new(qkv: [&Tensor; 3], sizes: CrossAttentionSizes) -> Result<Option<Self>> {
        let [q, k, v] = qkv;
        let known = [4, 8, 16, 32].contains(&sizes.per_head) && sizes.of_a_key() <= SHARED;
        if !known || k.dtype() != q.dtype() || v.dtype() != q.dtype() {
            return Ok(None);
        }
        let CrossAttentionSizes { images, queries, heads, .. } = sizes;
        if !qkv.iter().any(|t| t.track_op()) {
            let repeated = sizes.are_keys_few() && images > 1 && q.stride().first() == Some(&0);
            return Ok(Some(Self { sizes, repeated, seen: None }));
        }
        let seen = Some(Tensor::zeros((images, heads, queries), DType::F32, q.device())?);
        Ok(Some(Self { sizes, repeated: false, seen }))
    }

    /// The op's first input: `q`, or its first image where all are a broadcast of that one, which
    /// the kernel then reads without a copy.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn queries(&self, q: &Tensor) -> Result<Tensor> {
        if self.repeated { q.narrow(0, 0, 1) } else { Ok(q.clone()) }
    }
}

impl KernelOp for CrossAttention {
    const NAME: &'static str = "desam-cross-attention";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [q, k, v] = inputs else { bail!("attention: {} inputs", inputs.len()) };
        let CrossAttentionSizes { images, queries, keys, heads, per_head } = self.sizes;
        let sizes = self.sizes;
        let shape = Shape::from((images, queries, sizes.channels()));
        let y = on.allocate(shape.elem_count(), q.dtype())?;
        if shape.elem_count() == 0 {
            return Ok((y, shape));
        }
        let seen = self.seen.as_ref().map(Tensor::storage_and_layout);
        let seen = match &seen {
            Some((seen, _)) => on.address(on.of(seen)?, 0)?,
            None => KernelArgument::NULL,
        };
        let mut args = vec![q.address(on)?, k.address(on)?, v.address(on)?];
        args.extend([on.address(&y, 0)?, seen]);
        args.extend(sizes.args()?);
        let (grid, shared) = if sizes.are_keys_few() {
            let each = keys.min(SHARED / sizes.of_a_key());
            args.extend([KernelArgument::size(each)?, KernelArgument::U32(self.repeated.into())]);
            let grid = blocks(images * (queries * heads).div_ceil(THREADS), 1)?;
            (grid, each * sizes.of_a_key() * size_of::<f32>())
        } else {
            let group = if per_head == 32 { 4 } else { 8 };
            (blocks(images * heads * queries.div_ceil(group), 1)?, 0)
        };
        on.launch(&Launch {
            module: FORWARD,
            kernel: &sizes.kernel("", q.dtype())?,
            grid,
            threads: THREADS as u32,
            shared: shared as u32,
            args: &args,
        })?;
        Ok((y, shape))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let ([q, k, v], Some(seen)) = (inputs, &self.seen) else {
            bail!("attention: {} inputs, or none that was tracked", inputs.len())
        };
        let sizes = self.sizes;
        if output.elem_count() == 0 {
            return [q, k, v].iter().map(|t| t.zeros_like().map(Some)).collect();
        }
        let CrossAttentionSizes { images, queries, keys, .. } = sizes;
        let of = |tokens: usize| images * tokens * sizes.channels();
        // The shorter sequence's gradients are sums over blocks.
        let short = if sizes.are_keys_few() { 2 * of(keys) } else { of(queries) };
        let parts = Tensor::zeros((sizes.tiles(), short), DType::F32, q.device())?;
        let [q_alone, k_alone, v_alone, y] = [*q, *k, *v, output].map(Tensor::detach);
        let back =
            CrossAttentionBackward { sizes, others: [v_alone, y, seen.clone(), parts.clone()] };
        let long = run_op(back, &[&q_alone, &k_alone, grad])?;
        let short = of_columns(&parts, short)?.to_dtype(q.dtype())?;
        let (dq, both) = if sizes.are_keys_few() { (long, short) } else { (short, long) };
        let both = both.reshape((2, images, keys, sizes.channels()))?;
        Ok(vec![Some(dq.reshape(q.shape())?), Some(both.get(0)?), Some(both.get(1)?)])
    }
}

/// `(q, k, ∂y)` → the gradient of the longer sequence: `∂q [N, Q, C]`, or `∂k` and `∂v`,
/// `[2, N, K, C]`. Parts of the other's gradients are put into the last of `others`.
struct CrossAttentionBackward {
    sizes: CrossAttentionSizes,
    /// `v`, `y`, what was seen forwards, parts `[tiles, the shorter's numbers]`.
    others: [Tensor; 4],
}

impl KernelOp for CrossAttentionBackward {
    const NAME: &'static str = "desam-cross-attention-backward";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [q, k, grad] = inputs else { bail!("attention: {} inputs", inputs.len()) };
        let Self { sizes, others } = self;
        let CrossAttentionSizes { images, heads, .. } = *sizes;
        let shape = if sizes.are_keys_few() {
            q.layout.shape().clone()
        } else {
            Shape::from([&[2], k.dims()].concat())
        };
        let long = on.allocate(shape.elem_count(), q.dtype())?;
        let [v, y, seen, parts] = others.each_ref().map(|t| t.contiguous());
        let held = [v?, y?, seen?, parts?];
        let held = held.each_ref().map(Tensor::storage_and_layout);
        let [v, y, seen, parts] = held
            .each_ref()
            .map(|(storage, layout)| on.address(on.of(storage)?, layout.start_offset()));
        let mut args = vec![q.address(on)?, k.address(on)?, v?, y?, grad.address(on)?];
        args.extend([seen?, on.address(&long, 0)?, parts?]);
        args.extend(sizes.args()?);
        args.push(KernelArgument::size(images)?);
        on.launch(&Launch {
            module: BACKWARD,
            kernel: &sizes.kernel("_backward", q.dtype())?,
            grid: blocks(images * heads * sizes.tiles(), 1)?,
            threads: THREADS as u32,
            shared: 0,
            args: &args,
        })?;
        Ok((long, shape))
    }
}
