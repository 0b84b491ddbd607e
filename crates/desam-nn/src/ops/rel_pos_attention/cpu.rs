//! Window attention on the CPU: a task for each window and head, its queries in blocks.
//!
//! The biases of keys and values are never added to them. A key bias adds the same to all of a query's
//! scores and cancels in the softmax; a value bias adds itself to the weighted mean. So a padding token
//! is a key and a value of zeros.

use super::block::{self, Scratch, WindowHead};
use super::{WindowedSizes, sizes};
use crate::ops::gemm_conv::ROWS;
use crate::ops::matmul::dense;
use crate::ops::vector::{Pieces, build_pieces};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};
use rayon::prelude::*;

/// Blocks of queries from which on they run in parallel too: global attention, whose windows are too
/// few to keep all threads busy.
const BLOCKS_SPREAD: usize = 16;

/// The op `(qkv, bias, positions) → y`, f32, without a gradient.
pub(super) struct Attention {
    pub(super) heads: usize,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "desam-rel-pos-attention"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        ql: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
        positions: &CpuStorage,
        pl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = sizes(ql.dims(), bl.dims(), pl.dims(), self.heads)?;
        let call = Call {
            qkv: dense((qkv, ql))?,
            bias: dense((bias, bl))?,
            tables: tables(dense((positions, pl))?, sizes),
            sizes,
        };
        let shape = Shape::from((sizes.images, sizes.grid, sizes.grid, sizes.width()));
        Ok((CpuStorage::F32(call.forward()), shape))
    }
}

/// Both position tables, each padded with a tile's rows of zeros, which the last product reads.
fn tables(positions: &[f32], sizes: WindowedSizes) -> [Vec<f32>; 2] {
    let len = (2 * sizes.side - 1) * sizes.depth;
    let (rows, columns) = positions.split_at(len);
    [rows, columns].map(|table| {
        let mut padded = table.to_vec();
        padded.resize(len + (ROWS - 1) * sizes.depth, 0.0);
        padded
    })
}

/// Inputs of one call of the op.
struct Call<'a> {
    qkv: &'a [f32],
    bias: &'a [f32],
    tables: [Vec<f32>; 2],
    sizes: WindowedSizes,
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

/// Keys and values of one head in one window.
struct KeysAndValues {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Call<'_> {
    fn forward(&self) -> Vec<f32> {
        let WindowedSizes { images, grid, side, heads, depth } = self.sizes;
        let along = self.sizes.along();
        let pieces = Pieces { len: images * grid * grid * heads * depth, piece: depth };
        let task_of = |piece: usize| {
            let (token, head) = (piece / heads, piece % heads);
            let (image, y, x) = (token / (grid * grid), token / grid % grid, token % grid);
            ((image * along + y / side) * along + x / side) * heads + head
        };
        build_pieces(pieces, images * along * along * heads, task_of, |index, out| {
            let (window, head) = (index / heads, index % heads);
            let (image, y, x) = (window / (along * along), window / along % along, window % along);
            let corner = [y * side, x * side];
            let inside = corner.map(|at| side.min(grid - at));
            self.run(WindowTask { image, head, corner, inside }, out);
        })
    }

    /// Attention of one head in one window; `out` has a slice for each token inside the grid, row by
    /// row.
    fn run(&self, task: WindowTask, out: &mut [&mut [f32]]) {
        let KeysAndValues { keys, values } = self.gather(task);
        let depth = self.sizes.depth;
        let of_head = |part: usize| {
            let begin = part * self.sizes.width() + task.head * depth;
            &self.bias[begin..begin + depth]
        };
        let head = WindowHead {
            keys: &keys,
            values: &values,
            tables: [&self.tables[0], &self.tables[1]],
            query_bias: of_head(QUERY),
            value_bias: of_head(VALUE),
            side: self.sizes.side,
        };
        let queries = block::queries();
        let block = |scratch: &mut Scratch, (index, out): (usize, &mut [&mut [f32]])| {
            let first = index * queries;
            scratch.positions.clear();
            for i in first..first + out.len() {
                scratch.positions.push([i / task.inside[1], i % task.inside[1]]);
            }
            block::run(&head, |position| self.vector(task, position, QUERY), scratch, out);
        };
        if out.len().div_ceil(queries) < BLOCKS_SPREAD {
            let mut scratch = Scratch::default();
            out.chunks_mut(queries).enumerate().for_each(|b| block(&mut scratch, b));
        } else {
            let blocks = out.par_chunks_mut(queries).enumerate();
            blocks.for_each_init(Scratch::default, block);
        }
    }

    /// The query, key or value (`part`) of the token at a position of the window.
    fn vector(&self, task: WindowTask, position: [usize; 2], part: usize) -> &[f32] {
        let [row, column] = position;
        let WindowedSizes { grid, depth, .. } = self.sizes;
        let width = self.sizes.width();
        let token = (task.image * grid + task.corner[0] + row) * grid + task.corner[1] + column;
        let begin = token * 3 * width + part * width + task.head * depth;
        &self.qkv[begin..begin + depth]
    }

    /// Gathers keys `[tokens, depth]` and values `[panels, tokens, ROWS]` of a window, padding tokens
    /// being zeros; tokens, and the depth of the values, are padded to whole tiles.
    fn gather(&self, task: WindowTask) -> KeysAndValues {
        let WindowedSizes { side, depth, .. } = self.sizes;
        let tokens = (side * side).next_multiple_of(ROWS);
        let mut keys = vec![0.0; tokens * depth];
        let mut values = vec![0.0; tokens * depth.next_multiple_of(ROWS)];
        for (token, key) in keys.chunks_exact_mut(depth).enumerate().take(side * side) {
            let position = [token / side, token % side];
            if position[0] < task.inside[0] && position[1] < task.inside[1] {
                key.copy_from_slice(self.vector(task, position, KEY));
                let parts = self.vector(task, position, VALUE).chunks(ROWS);
                for (panel, part) in parts.enumerate() {
                    let begin = (panel * tokens + token) * ROWS;
                    values[begin..begin + part.len()].copy_from_slice(part);
                }
            }
        }
        KeysAndValues { keys, values }
    }
}
