//! Panel packing: the left-hand operand, copied once into the order in which tiles read it.

use super::operands::ROWS;
use super::source::Window;
use rayon::prelude::*;

/// A matrix `[rows, channels · taps]` packed for the microkernel: cut into blocks of channels, and
/// each of those into panels `[depth, ROWS]`. Rows beyond the last are zeros.
#[derive(Debug)]
pub(crate) struct PackedLhs {
    values: Vec<f32>,
    pub(super) shape: PanelShape,
}

/// Sizes of [`PackedLhs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PanelShape {
    /// Rows of the matrix: a convolution's output channels.
    pub(crate) rows: usize,
    /// Channels that the sum runs over: a convolution's input channels.
    pub(crate) channels: usize,
    /// The convolution's window; its taps are the weights of a channel.
    pub(crate) window: Window,
}

/// Depth of a block (cache blocking): a panel of 288 × 8 numbers and a tile's right-hand vectors
/// stay in the L1 cache.
const BLOCK_DEPTH: usize = 288;

impl PanelShape {
    fn taps(&self) -> usize {
        self.window.taps()
    }

    /// Channels of a block, nearly the same in all blocks.
    pub(super) fn block(&self) -> usize {
        let most = (BLOCK_DEPTH / self.taps().max(1)).max(1);
        let blocks = self.channels.div_ceil(most).max(1);
        self.channels.div_ceil(blocks).max(1)
    }

    /// Panels of a block, one below the other.
    pub(super) fn panels(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }
}

impl PackedLhs {
    /// Packs `weight(row, channel, tap)`.
    pub(crate) fn pack(
        shape: PanelShape,
        weight: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let taps = shape.taps();
        let mut values = vec![0.0; shape.panels() * ROWS * shape.channels * taps];
        let block = shape.block();
        let depth = |first: usize| block.min(shape.channels - first) * taps;
        let mut rest = values.as_mut_slice();
        let mut parts = Vec::new();
        for first in (0..shape.channels).step_by(block) {
            let (of_block, others) = rest.split_at_mut(shape.panels() * ROWS * depth(first));
            rest = others;
            let panels = of_block.chunks_exact_mut((ROWS * depth(first)).max(1));
            parts.extend(panels.enumerate().map(|(panel, values)| (first, panel, values)));
        }
        parts.into_par_iter().for_each(|(first, panel, values)| {
            for r in 0..ROWS.min(shape.rows - panel * ROWS) {
                let lines = values.chunks_exact_mut(ROWS * taps);
                for (channel, line) in lines.enumerate() {
                    for (tap, at) in line.chunks_exact_mut(ROWS).enumerate() {
                        at[r] = weight(panel * ROWS + r, first + channel, tap);
                    }
                }
            }
        });
        Self { values, shape }
    }

    /// Rows of the matrix.
    pub(crate) fn rows(&self) -> usize {
        self.shape.rows
    }

    /// The panels of the block of channels that begins with `first`, each `[depth, ROWS]`.
    pub(super) fn block(&self, first: usize) -> std::slice::ChunksExact<'_, f32> {
        let (channels, taps) = (self.shape.channels, self.shape.taps());
        let depth = self.shape.block().min(channels - first) * taps;
        let begin = self.shape.panels() * ROWS * first * taps;
        let len = self.shape.panels() * ROWS * depth;
        self.values[begin..begin + len].chunks_exact((ROWS * depth).max(1))
    }
}
