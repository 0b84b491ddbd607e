//! Weights of a 3×3 convolution as the tiled kernels read them.

use crate::{Accelerator, Arg, Cast, Launch, Module, Operand, blocks, module, suffix};
use candle_core::{DType, Result};

const MODULE: Module = module!("conv_pack", CONV_PACK);
const THREADS: usize = 256;
const TAPS: usize = 9;

/// Outputs of a block; the weights are filled up to a multiple of them.
pub(super) const OUTPUTS: usize = 64;

/// What the weights are to be, `[outputs, inputs, 3, 3]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    /// For the input's gradient: they lie there as `[inputs, outputs, 3, 3]`, and the kernel is
    /// turned by half a turn.
    pub(super) turned: bool,
    /// f32: `[outputs / 64][input][tap][64]`. bf16 and f16: operands of mma, 16 inputs at a time.
    pub(super) dtype: DType,
}

impl Packing {
    /// Packs `weight`, of this type or another.
    pub(super) fn pack<A: Accelerator>(
        &self,
        on: &A,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        let Self { outputs, inputs, turned, dtype } = *self;
        let groups = outputs.div_ceil(OUTPUTS);
        let (numbers, threads, grid) = match dtype {
            DType::F32 => {
                let columns = groups * inputs * OUTPUTS;
                (columns * TAPS, THREADS, blocks(columns, THREADS)?)
            }
            // A warp a tap of 16 × 16 weights.
            _ => {
                let tiles = groups * OUTPUTS / 16 * inputs.div_ceil(16);
                (tiles * 16 * 16 * TAPS, 32 * TAPS, blocks(tiles, 1)?)
            }
        };
        // Weights are f32 or of the images' own type; of all else first the former is made.
        let cast = match weight.dtype() == dtype {
            true => Cast::to(weight, dtype)?,
            false => Cast::to(weight, DType::F32)?,
        };
        let weight = cast.operand(weight);
        let packed = on.allocate(numbers, dtype)?;
        let (of_output, of_input) = match turned {
            true => (TAPS, outputs * TAPS),
            false => (inputs * TAPS, TAPS),
        };
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("conv_pack_{}_{}", suffix(weight.dtype())?, suffix(dtype)?),
            grid,
            threads: threads as u32,
            shared: 0,
            args: &[
                weight.address(on)?,
                on.address(&packed, 0)?,
                Arg::size(outputs)?,
                Arg::size(inputs)?,
                Arg::size(of_output)?,
                Arg::size(of_input)?,
                Arg::U32(u32::from(turned)),
            ],
        })?;
        Ok(packed)
    }
}
