//! The fast path: a task for each square and head, its queries in blocks.
//!
//! Nothing is added to keys and values. A bias of the keys adds the same to all of a query's
//! scores, which the softmax does not see; a bias of the values adds itself to their mean. So a pad
//! is a key and a value of zeros.

use super::block::{self, Head, Scratch};
use super::{Sizes, sizes};
use crate::ops::gemm_conv::ROWS;
use crate::ops::matmul::dense;
use crate::ops::vector::{Pieces, build_pieces};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};
use rayon::prelude::*;

/// Blocks of queries from which on they are spread over threads too: a square of the whole grid.
const BLOCKS_SPREAD: usize = 16;

/// `(qkv, bias, positions) → y`, f32, without a gradient.
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

/// Both position tables, each with a tile's rows of zeros behind it, which the last product reads.
fn tables(positions: &[f32], sizes: Sizes) -> [Vec<f32>; 2] {
    let len = (2 * sizes.side - 1) * sizes.depth;
    let (rows, columns) = positions.split_at(len);
    [rows, columns].map(|table| {
        let mut padded = table.to_vec();
        padded.resize(len + (ROWS - 1) * sizes.depth, 0.0);
        padded
    })
}

struct Call<'a> {
    qkv: &'a [f32],
    bias: &'a [f32],
    tables: [Vec<f32>; 2],
    sizes: Sizes,
}

/// One head in one square of one image.
#[derive(Debug, Clone, Copy)]
struct Task {
    image: usize,
    head: usize,
    /// Upper left corner, and how many tokens there are to the right and down.
    corner: [usize; 2],
    real: [usize; 2],
}

impl Call<'_> {
    fn forward(&self) -> Vec<f32> {
        let Sizes { images, grid, side, heads, depth } = self.sizes;
        let along = self.sizes.along();
        let pieces = Pieces { len: images * grid * grid * heads * depth, piece: depth };
        let task_of = |piece: usize| {
            let (token, head) = (piece / heads, piece % heads);
            let (image, y, x) = (token / (grid * grid), token / grid % grid, token % grid);
            ((image * along + y / side) * along + x / side) * heads + head
        };
        build_pieces(pieces, images * along * along * heads, task_of, |index, out| {
            let (square, head) = (index / heads, index % heads);
            let (image, y, x) = (square / (along * along), square / along % along, square % along);
            let corner = [y * side, x * side];
            let real = corner.map(|at| side.min(grid - at));
            self.one(Task { image, head, corner, real }, out);
        })
    }

    /// `out`: a piece for each real token of the square, row by row.
    fn one(&self, task: Task, out: &mut [&mut [f32]]) {
        let (keys, values) = self.gather(task);
        let depth = self.sizes.depth;
        let of_head = |part: usize| {
            let begin = part * self.sizes.width() + task.head * depth;
            &self.bias[begin..begin + depth]
        };
        let head = Head {
            keys: &keys,
            values: &values,
            tables: [&self.tables[0], &self.tables[1]],
            query_bias: of_head(0),
            value_bias: of_head(2),
            side: self.sizes.side,
        };
        let queries = block::queries();
        let block = |scratch: &mut Scratch, (index, out): (usize, &mut [&mut [f32]])| {
            let first = index * queries;
            scratch.places.clear();
            for i in first..first + out.len() {
                scratch.places.push([i / task.real[1], i % task.real[1]]);
            }
            block::run(&head, |place| self.vector(task, place, 0), scratch, out);
        };
        if out.len().div_ceil(queries) < BLOCKS_SPREAD {
            let mut scratch = Scratch::default();
            out.chunks_mut(queries).enumerate().for_each(|b| block(&mut scratch, b));
        } else {
            let blocks = out.par_chunks_mut(queries).enumerate();
            blocks.for_each_init(Scratch::default, block);
        }
    }

    /// The query (0), key (1) or value (2) of the token at a place of the square.
    fn vector(&self, task: Task, [row, column]: [usize; 2], part: usize) -> &[f32] {
        let Sizes { grid, depth, .. } = self.sizes;
        let width = self.sizes.width();
        let token = (task.image * grid + task.corner[0] + row) * grid + task.corner[1] + column;
        let begin = token * 3 * width + part * width + task.head * depth;
        &self.qkv[begin..begin + depth]
    }

    /// Keys `[tokens, depth]` and values `[panels, tokens, ROWS]` of a square, pads being zeros;
    /// tokens, and the depth of the values, filled up to whole tiles.
    fn gather(&self, task: Task) -> (Vec<f32>, Vec<f32>) {
        let Sizes { side, depth, .. } = self.sizes;
        let tokens = (side * side).next_multiple_of(ROWS);
        let mut keys = vec![0.0; tokens * depth];
        let mut values = vec![0.0; tokens * depth.next_multiple_of(ROWS)];
        for (token, key) in keys.chunks_exact_mut(depth).enumerate().take(side * side) {
            let place = [token / side, token % side];
            if place[0] < task.real[0] && place[1] < task.real[1] {
                key.copy_from_slice(self.vector(task, place, 1));
                let parts = self.vector(task, place, 2).chunks(ROWS);
                for (panel, part) in parts.enumerate() {
                    let begin = (panel * tokens + token) * ROWS;
                    values[begin..begin + part.len()].copy_from_slice(part);
                }
            }
        }
        (keys, values)
    }
}
