//! 3×3 convolution by implicit GEMM: tiles of pixels and channels, no im2col buffer in global memory. bf16
//! and f16 use tensor cores.

use super::Conv2dSizes;
use super::split_k::{RESIDENT_BLOCKS, SplitK};
use super::weight_packing::{OUTPUTS, WeightPacking};
use crate::{Accelerator, KernelArgument, Launch, Module, Operand, blocks, module, suffix};
use candle_core::{DType, Result};

const TENSOR: Module = module!("conv_tensor", CONV_TENSOR);
const TENSOR_KERNEL: Module = module!("conv_tensor_weight", CONV_TENSOR_WEIGHT);
const SINGLE: Module = module!("conv_single", CONV_SINGLE);

/// Input channels per pipeline stage, with tensor cores.
const INPUTS: usize = 16;
/// Rows and columns of a tile of pixels.
const TENSOR_TILE: [usize; 2] = [8, 32];
const SINGLE_TILE: [usize; 2] = [8, 16];
const SINGLE_KERNEL_TILE: [usize; 2] = [4, 16];
/// 16-byte pieces of the two stages of `conv_tensor.cu` and of `conv_tensor_weight.cu`.
const PIECES: usize = 2 * (9 * 64 * 16 / 8 + 2 * 10 * 36);
const KERNEL_PIECES: usize = 2 * (64 * 8 * 32 / 8 + 4 * 10 * 36);

/// No size is zero.
pub(super) struct ImplicitGemm(pub(super) Conv2dSizes);

impl ImplicitGemm {
    pub(super) fn forward<A: Accelerator>(
        &self,
        on: &A,
        x: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        convolve(on, &self.0, [x, weight], false)
    }

    pub(super) fn input_gradient<A: Accelerator>(
        &self,
        on: &A,
        grad: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        convolve(on, &self.0.transposed(), [grad, weight], true)
    }

    pub(super) fn weight_gradient<A: Accelerator>(
        &self,
        on: &A,
        [grad, x]: [&Operand<'_, A::Storage>; 2],
        dtype: DType,
    ) -> Result<A::Storage> {
        let Conv2dSizes { images, inputs, outputs, height, width, .. } = self.0;
        let single = x.dtype() == DType::F32;
        let (tile, pixels) =
            if single { ([64, 16], SINGLE_KERNEL_TILE) } else { ([64, 32], TENSOR_TILE) };
        let steps = images * height.div_ceil(pixels[0]) * width.div_ceil(pixels[1]);
        let sums = SplitK::whole([outputs, inputs, 9], tile).cut(steps);
        let partial = sums.allocate(on)?;
        let mut args = vec![grad.address(on)?, x.address(on)?, on.address(&partial, 0)?];
        args.extend([KernelArgument::size(inputs)?, KernelArgument::size(outputs)?]);
        args.extend([KernelArgument::size(height)?, KernelArgument::size(width)?]);
        let name = if single {
            "conv_single_weight".to_owned()
        } else {
            args.extend([aligned(x, width, 2), aligned(grad, width, 8)]);
            format!("conv_tensor_weight_{}", suffix(x.dtype())?)
        };
        args.extend([KernelArgument::size(steps)?, KernelArgument::size(sums.splits)?]);
        on.launch(&Launch {
            module: if single { SINGLE } else { TENSOR_KERNEL },
            kernel: &name,
            grid: blocks(sums.tiles() * sums.splits, 1)?,
            threads: if single { 256 } else { 128 },
            shared: if single { 0 } else { 16 * KERNEL_PIECES as u32 },
            args: &args,
        })?;
        sums.add(on, &partial, dtype)
    }
}

fn convolve<A: Accelerator>(
    on: &A,
    convolution: &Conv2dSizes,
    [x, weight]: [&Operand<'_, A::Storage>; 2],
    flipped: bool,
) -> Result<A::Storage> {
    let Conv2dSizes { images, inputs, outputs, height, width, .. } = *convolution;
    let dtype = x.dtype();
    let packed = WeightPacking { outputs, inputs, flipped, dtype }.pack(on, weight)?;
    let numbers = images * outputs * height * width;
    let tiles = |[rows, columns]: [usize; 2]| {
        images * height.div_ceil(rows) * width.div_ceil(columns) * outputs.div_ceil(OUTPUTS)
    };
    let mut args = vec![x.address(on)?, on.address(&packed, 0)?];
    let mut launch = |y: &A::Storage, name: &str, more: &[KernelArgument], blocks: [u32; 3]| {
        args.push(on.address(y, 0)?);
        args.extend([KernelArgument::size(inputs)?, KernelArgument::size(outputs)?]);
        args.extend([KernelArgument::size(height)?, KernelArgument::size(width)?]);
        args.extend(more);
        let single = dtype == DType::F32;
        on.launch(&Launch {
            module: if single { SINGLE } else { TENSOR },
            kernel: name,
            grid: blocks,
            threads: if single { 256 } else { 128 },
            shared: if single { 0 } else { 16 * PIECES as u32 },
            args: &args,
        })
    };
    if dtype == DType::F32 {
        let y = on.allocate(numbers, dtype)?;
        launch(&y, "conv_single", &[], blocks(tiles(SINGLE_TILE), 1)?)?;
        return Ok(y);
    }
    let (tiles, name) = (tiles(TENSOR_TILE), suffix(dtype)?);
    let more = [aligned(x, width, 2), KernelArgument::size(images)?];
    let splits = splits_of(tiles, inputs.div_ceil(INPUTS));
    if splits == 1 {
        let y = on.allocate(numbers, dtype)?;
        launch(&y, &format!("conv_tensor_{name}"), &more, blocks(tiles, 1)?)?;
        return Ok(y);
    }
    let partial = on.allocate(splits * numbers, DType::F32)?;
    let more = [more[0], more[1], KernelArgument::size(splits)?];
    launch(&partial, &format!("conv_tensor_split_k_{name}"), &more, blocks(tiles * splits, 1)?)?;
    SplitK { splits, ..SplitK::whole([1, numbers, 1], [1, 1]) }.add(on, &partial, dtype)
}

/// Number of splits (split-K) of the reduction over input channels: as many as fill the device where
/// there are few tiles, none shorter than four stages.
fn splits_of(tiles: usize, stages: usize) -> usize {
    (RESIDENT_BLOCKS / tiles).min(stages / 4).max(1)
}

/// The kernel's flag for loads of `pixels` adjacent pixels at once: 1 where all of them are
/// aligned.
fn aligned<S: candle_core::backend::BackendStorage>(
    operand: &Operand<'_, S>,
    width: usize,
    pixels: usize,
) -> KernelArgument {
    let offset = operand.layout.start_offset();
    KernelArgument::U32(u32::from(width.is_multiple_of(pixels) && offset.is_multiple_of(pixels)))
}
