//! Direct convolution, one thread per output element.

use super::Conv2dSizes;
use crate::{Accelerator, Cast, KernelArgument, Launch, Module, Operand, blocks, module, suffix};
use candle_core::backend::BackendStorage;
use candle_core::{DType, Layout, Result};

const MODULE: Module = module!("conv_direct", CONV_DIRECT);
const THREADS: usize = 256;

/// Any odd kernel size and any number of channels.
pub(super) struct Direct(pub(super) Conv2dSizes);

impl Direct {
    pub(super) fn forward<A: Accelerator>(
        &self,
        on: &A,
        x: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        let Conv2dSizes { inputs, side, .. } = self.0;
        let taps = side * side;
        convolve(on, &self.0, [x, weight], [inputs * taps, taps, 0])
    }

    pub(super) fn input_gradient<A: Accelerator>(
        &self,
        on: &A,
        grad: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        let Conv2dSizes { inputs, side, .. } = self.0;
        let taps = side * side;
        convolve(on, &self.0.transposed(), [grad, weight], [taps, inputs * taps, 1])
    }

    pub(super) fn weight_gradient<A: Accelerator>(
        &self,
        on: &A,
        [grad, x]: [&Operand<'_, A::Storage>; 2],
        dtype: DType,
    ) -> Result<A::Storage> {
        let Conv2dSizes { inputs, outputs, side, .. } = self.0;
        let numbers = outputs * inputs * side * side;
        let weight = on.allocate(numbers, DType::F32)?;
        if numbers > 0 {
            let mut args = vec![grad.address(on)?, x.address(on)?, on.address(&weight, 0)?];
            args.extend(sizes(&self.0)?);
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("conv_direct_weight_{}", suffix(grad.dtype())?),
                grid: blocks(numbers, 1)?,
                threads: THREADS as u32,
                shared: 0,
                args: &args,
            })?;
        }
        match dtype {
            DType::F32 => Ok(weight),
            other => weight.to_dtype(&Layout::contiguous(numbers), other),
        }
    }
}

/// `strides` of the weight: between outputs, between inputs; and whether the kernel is flipped.
fn convolve<A: Accelerator>(
    on: &A,
    convolution: &Conv2dSizes,
    [x, weight]: [&Operand<'_, A::Storage>; 2],
    strides: [usize; 3],
) -> Result<A::Storage> {
    let Conv2dSizes { images, outputs, height, width, .. } = *convolution;
    let numbers = images * outputs * height * width;
    let y = on.allocate(numbers, x.dtype())?;
    if numbers == 0 {
        return Ok(y);
    }
    let cast = Cast::to(weight, x.dtype())?;
    let weight = cast.operand(weight);
    let mut args = vec![x.address(on)?, weight.address(on)?, on.address(&y, 0)?];
    args.extend(sizes(convolution)?);
    args.extend(strides.into_iter().map(KernelArgument::size).collect::<Result<Vec<_>>>()?);
    on.launch(&Launch {
        module: MODULE,
        kernel: &format!("conv_direct_{}", suffix(x.dtype())?),
        grid: blocks(numbers, THREADS)?,
        threads: THREADS as u32,
        shared: 0,
        args: &args,
    })?;
    Ok(y)
}

fn sizes(convolution: &Conv2dSizes) -> Result<Vec<KernelArgument>> {
    let Conv2dSizes { images, inputs, outputs, height, width, side } = *convolution;
    [images, inputs, outputs, height, width, side].into_iter().map(KernelArgument::size).collect()
}
