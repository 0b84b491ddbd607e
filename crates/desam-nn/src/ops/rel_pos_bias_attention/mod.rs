//! Window attention with a learned relative position bias: one number for each head and offset, as in
//! LeViT and TinyViT.

mod cpu;
mod plain;
#[cfg(test)]
mod tests;

use crate::gpu::{Backend, select_backend};
use candle_core::{Result, Tensor};
pub use plain::plain;

/// Parameters of a window attention with relative position biases. `S` is the side of a window.
#[derive(Debug, Clone, Copy)]
pub struct RelPosBiasAttention<'a> {
    /// Queries, keys and values of a padding token, `[3C]`.
    pub padding: &'a Tensor,
    /// Added to the scores, `[heads, S²]`: the bias for a query and a key that are `Δy` rows and `Δx`
    /// columns apart is at `|Δy| · S + |Δx|`.
    pub biases: &'a Tensor,
}

/// Sizes that follow from the shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BiasedSizes {
    images: usize,
    /// Side of the grid.
    grid: usize,
    /// Side of a window; windows may reach beyond the grid.
    side: usize,
    heads: usize,
    /// Channels of a head.
    depth: usize,
}

impl BiasedSizes {
    fn of(qkv: &[usize], padding: &[usize], biases: &[usize]) -> Result<Self> {
        if let (&[images, grid, columns, triple], &[pad], &[heads, offsets]) =
            (qkv, padding, biases)
        {
            let side = offsets.isqrt();
            let fits = grid == columns && triple == pad && side * side == offsets;
            if fits && heads > 0 && side > 0 && triple > 0 && triple.is_multiple_of(3 * heads) {
                return Ok(Self { images, grid, side, heads, depth: triple / (3 * heads) });
            }
        }
        candle_core::bail!(
            "attention with relative position biases: qkv {qkv:?} (expected [B, G, G, 3C]), padding \
             {padding:?} ([3C]), biases {biases:?} ([heads, S²], heads divide C)"
        )
    }

    /// Channels of all heads.
    fn width(&self) -> usize {
        self.heads * self.depth
    }

    /// Windows along one side of the grid.
    fn along(&self) -> usize {
        self.grid.div_ceil(self.side)
    }

    /// Factor of the products of queries and keys.
    fn scale(&self) -> f64 {
        1.0 / (self.depth as f64).sqrt()
    }
}

/// Indices of the biases of a window of side `side`: for each query and each key the offset's index `|Δy|
/// · S + |Δx|`, queries first, `side²` by `side²`.
pub fn offset_indices(side: usize) -> Vec<u32> {
    let tokens = side * side;
    let index = |at: usize| {
        let [query, key] = [at / tokens, at % tokens];
        let rows = (query / side).abs_diff(key / side);
        let columns = (query % side).abs_diff(key % side);
        (rows * side + columns) as u32
    };
    (0..tokens * tokens).map(index).collect()
}

/// Window attention with relative position biases: `qkv [B, G, G, 3C]`, its channels ordered as `[q | k |
/// v, heads, C / heads]`, → `[B, G, G, C]`. The grid is partitioned into windows of side `S` from its upper
/// left corner.
///
/// A window's part beyond the grid is padding: tokens that are attended to, but have no output. The
/// scores are `q·k / √D + bias`.
///
/// Without a gradient, f32 on the CPU is one pass over windows and heads; all else is done by [`plain`].
///
/// # Errors
/// When shapes do not fit.
pub fn rel_pos_bias_attention(qkv: &Tensor, attention: RelPosBiasAttention<'_>) -> Result<Tensor> {
    let RelPosBiasAttention { padding, biases } = attention;
    let sizes = BiasedSizes::of(qkv.dims(), padding.dims(), biases.dims())?;
    let all = [qkv, padding, biases];
    let tracked = all.into_iter().any(Tensor::track_op);
    if select_backend(&all) == Backend::Cpu && !tracked {
        let op = cpu::Attention { sizes };
        return qkv.contiguous()?.apply_op3_no_bwd(
            &padding.contiguous()?,
            &biases.contiguous()?,
            &op,
        );
    }
    plain(qkv, attention)
}
