//! Window attention with relative position biases in f32 on the CPU: a task for each window and head.
//!
//! A window has at most some hundred tokens, so its scores are stored: they stay in the cache.

use super::{BiasedSizes, offset_indices};
use crate::ops::matmul::{Beta, View, dense, matmul};
use crate::ops::softmax::softmax_rows;
use crate::ops::vector::{Pieces, build_pieces};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};
use gemm::Parallelism;
use std::sync::{Mutex, PoisonError};

/// The op `(qkv, padding, biases) → y`, without a gradient.
pub(super) struct Attention {
    pub(super) sizes: BiasedSizes,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "desam-rel-pos-bias-attention"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        ql: &Layout,
        padding: &CpuStorage,
        pl: &Layout,
        biases: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = self.sizes;
        let call = Call {
            qkv: dense((qkv, ql))?,
            padding: dense((padding, pl))?,
            biases: bias_matrices(dense((biases, bl))?, sizes),
            sizes,
        };
        let shape = Shape::from((sizes.images, sizes.grid, sizes.grid, sizes.width()));
        Ok((CpuStorage::F32(call.forward()?), shape))
    }
}

/// The bias of every query and key of a window, `[heads, S², S²]`.
fn bias_matrices(biases: &[f32], sizes: BiasedSizes) -> Vec<f32> {
    let indices = offset_indices(sizes.side);
    let of_heads = biases.chunks_exact(sizes.side * sizes.side);
    of_heads.flat_map(|head| indices.iter().map(|index| head[*index as usize])).collect()
}

/// Inputs of one call of the op.
struct Call<'a> {
    qkv: &'a [f32],
    padding: &'a [f32],
    biases: Vec<f32>,
    sizes: BiasedSizes,
}

/// One head in one window of one image.
#[derive(Debug, Clone, Copy)]
struct WindowTask {
    image: usize,
    head: usize,
    /// Upper left corner, row and column.
    corner: [usize; 2],
    /// Rows and columns inside the grid; the rest of the window is padding.
    inside: [usize; 2],
}

/// Parts of a token's `qkv`.
const QUERY: usize = 0;
const KEY: usize = 1;
const VALUE: usize = 2;

impl Call<'_> {
    fn forward(&self) -> Result<Vec<f32>> {
        let BiasedSizes { images, grid, side, heads, depth } = self.sizes;
        let along = self.sizes.along();
        let pieces = Pieces { len: images * grid * grid * heads * depth, piece: depth };
        let task_of = |piece: usize| {
            let (token, head) = (piece / heads, piece % heads);
            let (image, y, x) = (token / (grid * grid), token / grid % grid, token % grid);
            ((image * along + y / side) * along + x / side) * heads + head
        };
        let failed = Mutex::new(None);
        let out = build_pieces(pieces, images * along * along * heads, task_of, |index, out| {
            let (window, head) = (index / heads, index % heads);
            let (image, y, x) = (window / (along * along), window / along % along, window % along);
            let corner = [y * side, x * side];
            let inside = corner.map(|at| side.min(grid - at));
            if let Err(error) = self.run(WindowTask { image, head, corner, inside }, out) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(out),
        }
    }

    /// Attention of one head in one window; `out` has a slice for each token inside the grid, row by
    /// row.
    fn run(&self, task: WindowTask, out: &mut [&mut [f32]]) -> Result<()> {
        let BiasedSizes { side, depth, .. } = self.sizes;
        let (tokens, queries) = (side * side, out.len());
        let scale = self.sizes.scale() as f32;
        let (mut q, mut scores) = (vec![0.0; queries * depth], vec![0.0; queries * tokens]);
        let biases = &self.biases[task.head * tokens * tokens..][..tokens * tokens];
        for (i, (query, row)) in
            q.chunks_exact_mut(depth).zip(scores.chunks_exact_mut(tokens)).enumerate()
        {
            let position = [i / task.inside[1], i % task.inside[1]];
            let from = self.vector(task, position, QUERY).iter();
            query.iter_mut().zip(from).for_each(|(to, from)| *to = from * scale);
            let token = position[0] * side + position[1];
            // The product is added to the biases.
            row.copy_from_slice(&biases[token * tokens..][..tokens]);
        }
        let [keys, values] = [KEY, VALUE].map(|part| self.gather(task, part));
        let view = View::dense(tokens, depth);
        let to = View::dense(queries, tokens);
        let from = View::dense(queries, depth);
        let alone = Parallelism::None;
        matmul(to.on_mut(&mut scores), from.on(&q), view.on(&keys).t(), Beta::One, alone)?;
        softmax_rows(&mut scores, tokens);
        matmul(from.on_mut(&mut q), to.on(&scores), view.on(&values), Beta::Zero, alone)?;
        for (out, sums) in out.iter_mut().zip(q.chunks_exact(depth)) {
            out.copy_from_slice(sums);
        }
        Ok(())
    }

    /// The query, key or value (`part`) of the token at a position of the window.
    fn vector(&self, task: WindowTask, position: [usize; 2], part: usize) -> &[f32] {
        let BiasedSizes { grid, depth, .. } = self.sizes;
        let width = self.sizes.width();
        let [row, column] = position;
        let begin = part * width + task.head * depth;
        if row >= task.inside[0] || column >= task.inside[1] {
            return &self.padding[begin..begin + depth];
        }
        let token = (task.image * grid + task.corner[0] + row) * grid + task.corner[1] + column;
        &self.qkv[token * 3 * width + begin..][..depth]
    }

    /// Keys or values of all tokens of a window, `[side², depth]`.
    fn gather(&self, task: WindowTask, part: usize) -> Vec<f32> {
        let BiasedSizes { side, depth, .. } = self.sizes;
        let mut all = Vec::with_capacity(side * side * depth);
        for token in 0..side * side {
            all.extend_from_slice(self.vector(task, [token / side, token % side], part));
        }
        all
    }
}
