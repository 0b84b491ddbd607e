//! Split-K: a reduction over pixels split into partial sums, which a second kernel adds up.

use crate::{Accelerator, KernelArgument, Launch, Module, blocks, module, suffix};
use candle_core::{DType, Result};

const MODULE: Module = module!("conv_split_k", CONV_SPLIT_K);
const THREADS: usize = 256;
/// Blocks that run at once on an H100: two on each of 132 multiprocessors.
pub(super) const RESIDENT_BLOCKS: usize = 264;
/// Overhead of a split, in steps: filling shared memory before the first, writing the sums.
const BESIDES: usize = 2;

/// A result `[outputs, inputs, taps]`, of which each block computes a tile over its split of the reduction.
#[derive(Debug, Clone, Copy)]
pub(super) struct SplitK {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) taps: usize,
    /// Outputs and inputs per tile.
    pub(super) tile: [usize; 2],
    pub(super) splits: usize,
}

impl SplitK {
    /// One split: the whole reduction.
    pub(super) fn whole([outputs, inputs, taps]: [usize; 3], tile: [usize; 2]) -> Self {
        Self { outputs, inputs, taps, tile, splits: 1 }
    }

    /// Splits a reduction of `steps` steps so that it finishes soonest. Depends on sizes alone, so
    /// that results are reproducible on every device: the model is the slowest multiprocessor of an H100.
    pub(super) fn cut(self, steps: usize) -> Self {
        let tiles = self.tiles().max(1);
        let time = |splits: usize| {
            (tiles * splits).div_ceil(RESIDENT_BLOCKS) * (steps.div_ceil(splits) + BESIDES)
        };
        let most = (4 * RESIDENT_BLOCKS).div_ceil(tiles).min(steps).max(1);
        let splits = (1..=most).min_by_key(|&splits| time(splits)).unwrap_or(1);
        Self { splits, ..self }
    }

    /// Tiles per split.
    pub(super) fn tiles(&self) -> usize {
        self.outputs.div_ceil(self.tile[0]) * self.inputs.div_ceil(self.tile[1])
    }

    /// Memory for the partial sums, f32 `[splits][rows][taps][columns]`, rows and columns filling tiles.
    pub(super) fn allocate<A: Accelerator>(&self, on: &A) -> Result<A::Storage> {
        let tile = self.tile[0] * self.tile[1] * self.taps;
        on.allocate(self.splits * self.tiles() * tile, DType::F32)
    }

    /// Adds up the partial sums, in type `dtype`.
    pub(super) fn add<A: Accelerator>(
        &self,
        on: &A,
        partial: &A::Storage,
        dtype: DType,
    ) -> Result<A::Storage> {
        let Self { outputs, inputs, taps, tile, splits } = *self;
        let fill = |count: usize, by: usize| KernelArgument::size(count.div_ceil(by) * by);
        let numbers = outputs * inputs * taps;
        let sums = on.allocate(numbers, dtype)?;
        // Of many splits, several chunks are added in parallel.
        let parts = match splits {
            0..32 => 1,
            32..64 => 2,
            64..128 => 4,
            _ => 8,
        };
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("conv_split_k_{}", suffix(dtype)?),
            grid: blocks(numbers, THREADS / parts)?,
            threads: THREADS as u32,
            shared: 0,
            args: &[
                on.address(partial, 0)?,
                on.address(&sums, 0)?,
                KernelArgument::size(outputs)?,
                KernelArgument::size(inputs)?,
                KernelArgument::size(taps)?,
                fill(outputs, tile[0])?,
                fill(inputs, tile[1])?,
                KernelArgument::size(splits)?,
                KernelArgument::size(parts)?,
            ],
        })?;
        Ok(sums)
    }
}
