//! Packing of 3×3 weights into the order in which the implicit-GEMM kernels read them.

use crate::{Accelerator, Cast, KernelArgument, Launch, Module, Operand, blocks, module, suffix};
use candle_core::{DType, Result};

const MODULE: Module = module!("conv_pack", CONV_PACK);
const THREADS: usize = 256;
const TAPS: usize = 9;

/// Output channels per block; the weights are padded with zeros to a multiple of it.
pub(super) const OUTPUTS: usize = 64;

/// Layout of the packed weights `[outputs, inputs, 3, 3]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightPacking {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    /// For the input gradient: the weights are stored as `[inputs, outputs, 3, 3]`, and the kernel is
    /// flipped along both sides.
    pub(super) flipped: bool,
    /// f32: `[outputs / 64][input][tap][64]`. bf16 and f16: operands of mma, 16 inputs at a time.
    pub(super) dtype: DType,
}

impl WeightPacking {
    /// Packs `weight`, of this type or another.
    pub(super) fn pack<A: Accelerator>(
        &self,
        on: &A,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        let Self { outputs, inputs, flipped, dtype } = *self;
        let groups = outputs.div_ceil(OUTPUTS);
        let (numbers, threads, grid) = match dtype {
            DType::F32 => {
                let columns = groups * inputs * OUTPUTS;
                (columns * TAPS, THREADS, blocks(columns, THREADS)?)
            }
            // One warp per tap of 16 × 16 weights.
            _ => {
                let tiles = groups * OUTPUTS / 16 * inputs.div_ceil(16);
                (tiles * 16 * 16 * TAPS, 32 * TAPS, blocks(tiles, 1)?)
            }
        };
        // Kernels take weights in f32 or in the images' type; other types are cast to f32 first.
        let taken = if weight.dtype() == dtype { dtype } else { DType::F32 };
        let cast = Cast::to(weight, taken)?;
        let weight = cast.operand(weight);
        let packed = on.allocate(numbers, dtype)?;
        let (of_output, of_input) =
            if flipped { (TAPS, outputs * TAPS) } else { (inputs * TAPS, TAPS) };
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("conv_pack_{}_{}", suffix(weight.dtype())?, suffix(dtype)?),
            grid,
            threads: threads as u32,
            shared: 0,
            args: &[
                weight.address(on)?,
                on.address(&packed, 0)?,
                KernelArgument::size(outputs)?,
                KernelArgument::size(inputs)?,
                KernelArgument::size(of_output)?,
                KernelArgument::size(of_input)?,
                KernelArgument::U32(u32::from(flipped)),
            ],
        })?;
        Ok(packed)
    }
}
