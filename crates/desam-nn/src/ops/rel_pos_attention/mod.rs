//! Window attention with SAM's relative position embeddings, decomposed by axis.

mod block;
mod cpu;
#[cfg(feature = "kernels")]
mod gpu;
#[cfg(test)]
#[cfg(feature = "emulation")]
mod kernel_tests;
mod plain;
#[cfg(test)]
mod tests;

use crate::gpu::{Backend, select_backend};
use candle_core::{Result, Tensor};
pub use plain::plain;

/// Parameters of a window attention with decomposed relative position embeddings.
///
/// `S` is the side of the windows inside which tokens attend to each other, `D` the channels of a head.
#[derive(Debug, Clone, Copy)]
pub struct RelPosAttention<'a> {
    /// Bias of queries, keys and values, `[3C]`.
    pub bias: &'a Tensor,
    /// Relative position tables for rows and columns, `[2, 2S - 1, D]`: the vector that a query is
    /// multiplied with for each distance to a key; the distance `query - key` is at index `query - key +
    /// S - 1`.
    pub positions: &'a Tensor,
    /// Heads.
    pub heads: usize,
}

/// Sizes that follow from the shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WindowedSizes {
    images: usize,
    /// Side of the grid.
    grid: usize,
    /// Side of a window; windows may reach beyond the grid.
    side: usize,
    heads: usize,
    /// Channels of a head.
    depth: usize,
}

impl WindowedSizes {
    /// Channels of all heads.
    fn width(&self) -> usize {
        self.heads * self.depth
    }

    /// Windows along one side of the grid.
    fn along(&self) -> usize {
        self.grid.div_ceil(self.side)
    }
}

fn sizes(
    qkv: &[usize],
    bias: &[usize],
    positions: &[usize],
    heads: usize,
) -> Result<WindowedSizes> {
    if let (&[images, grid, columns, triple], &[biases], &[2, vectors, depth]) =
        (qkv, bias, positions)
    {
        let fits = grid == columns && triple == biases && triple == 3 * heads * depth;
        if fits && heads > 0 && depth > 0 && vectors % 2 == 1 {
            return Ok(WindowedSizes { images, grid, side: vectors.div_ceil(2), heads, depth });
        }
    }
    candle_core::bail!(
        "attention with relative positions: {heads} heads, qkv {qkv:?} (expected [B, G, G, 3C]), \
         bias {bias:?} ([3C]), positions {positions:?} ([2, 2S - 1, C / heads])"
    )
}

/// Window attention with relative positions: `qkv [B, G, G, 3C]` without its bias → `[B, G, G, C]`. The
/// grid is partitioned into windows of side `S` from its upper left corner; `S = G` is global
/// attention.
///
/// A window's part beyond the grid is padding: tokens whose `qkv` is the bias alone, since SAM pads with
/// zeros after the first norm. They are attended to, but have no output. The scores are
/// `q·k / √D + q·row + q·column`, with SAM's unscaled `q` in the last two.
///
/// Without a gradient, f32 on the CPU is a flash attention that never stores more than a tile of the
/// scores; a GPU's kernels store none, with bf16 and f16 on its tensor cores. There bias and positions
/// may be of another type than `qkv`. All else is done by [`plain`].
///
/// # Errors
/// When shapes do not fit.
pub fn rel_pos_attention(qkv: &Tensor, attention: RelPosAttention<'_>) -> Result<Tensor> {
    let RelPosAttention { bias, positions, heads } = attention;
    let all = [qkv, bias, positions];
    let tracked = all.into_iter().any(Tensor::track_op);
    let backend = if tracked { Backend::Plain } else { select_backend(&all) };
    #[cfg(feature = "kernels")]
    if backend == Backend::Kernels
        && let Some(y) = gpu::attention(qkv, attention)?
    {
        return Ok(y);
    }
    if backend == Backend::Cpu {
        let op = cpu::Attention { heads };
        return qkv.contiguous()?.apply_op3_no_bwd(
            &bias.contiguous()?,
            &positions.contiguous()?,
            &op,
        );
    }
    let like = |t: &Tensor| t.to_dtype(qkv.dtype());
    let (bias, positions) = (like(bias)?, like(positions)?);
    plain(qkv, RelPosAttention { bias: &bias, positions: &positions, heads })
}
