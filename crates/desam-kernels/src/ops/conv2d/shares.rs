//! A sum over pixels in shares, which are added in a second stage.

use crate::{Accelerator, Arg, Launch, Module, blocks, module, suffix};
use candle_core::{DType, Result};

const MODULE: Module = module!("conv_sums", CONV_SUMS);
const THREADS: usize = 256;
/// Blocks that run at once on an H100: two on each of 132 multiprocessors.
pub(super) const AT_ONCE: usize = 264;
/// What a share costs beside its steps, in steps: filling memory before the first, writing sums.
const BESIDES: usize = 2;

/// `[outputs, inputs, taps]`, of which each block makes a tile from its share of a sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) taps: usize,
    /// Outputs and inputs of a tile.
    pub(super) tile: [usize; 2],
    pub(super) shares: usize,
}

impl Shared {
    /// One share.
    pub(super) fn whole([outputs, inputs, taps]: [usize; 3], tile: [usize; 2]) -> Self {
        Self { outputs, inputs, taps, tile, shares: 1 }
    }

    /// As many shares of so many steps as are done first. By sizes alone, so that bits repeat: as if
    /// the device were an H100, by the slowest of its multiprocessors.
    pub(super) fn cut(self, steps: usize) -> Self {
        let tiles = self.tiles().max(1);
        let time =
            |shares: usize| (tiles * shares).div_ceil(AT_ONCE) * (steps.div_ceil(shares) + BESIDES);
        let most = (4 * AT_ONCE).div_ceil(tiles).min(steps).max(1);
        let shares = (1..=most).min_by_key(|&shares| time(shares)).unwrap_or(1);
        Self { shares, ..self }
    }

    /// Tiles of one share.
    pub(super) fn tiles(&self) -> usize {
        self.outputs.div_ceil(self.tile[0]) * self.inputs.div_ceil(self.tile[1])
    }

    /// Room for the shares, f32 `[shares][rows][taps][columns]`, rows and columns filling tiles.
    pub(super) fn allocate<A: Accelerator>(&self, on: &A) -> Result<A::Storage> {
        let tile = self.tile[0] * self.tile[1] * self.taps;
        on.allocate(self.shares * self.tiles() * tile, DType::F32)
    }

    /// Adds them up, to numbers of type `dtype`.
    pub(super) fn add<A: Accelerator>(
        &self,
        on: &A,
        partial: &A::Storage,
        dtype: DType,
    ) -> Result<A::Storage> {
        let Self { outputs, inputs, taps, tile, shares } = *self;
        let fill = |count: usize, by: usize| Arg::size(count.div_ceil(by) * by);
        let numbers = outputs * inputs * taps;
        let sums = on.allocate(numbers, dtype)?;
        // Of many shares, stretches are added at once.
        let parts = match shares {
            0..32 => 1,
            32..64 => 2,
            64..128 => 4,
            _ => 8,
        };
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("conv_sums_{}", suffix(dtype)?),
            grid: blocks(numbers, THREADS / parts)?,
            threads: THREADS as u32,
            shared: 0,
            args: &[
                on.address(partial, 0)?,
                on.address(&sums, 0)?,
                Arg::size(outputs)?,
                Arg::size(inputs)?,
                Arg::size(taps)?,
                fill(outputs, tile[0])?,
                fill(inputs, tile[1])?,
                Arg::size(shares)?,
                Arg::size(parts)?,
            ],
        })?;
        Ok(sums)
    }
}
