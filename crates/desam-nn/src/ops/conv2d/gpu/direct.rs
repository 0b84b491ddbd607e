//! A thread an output.

use super::Convolution;
use crate::gpu::{Accelerator, Arg, Launch, Module, Operand, blocks, module, suffix};
use candle_core::Result;

const MODULE: Module = module!("conv_direct", CONV_DIRECT);
const THREADS: usize = 256;

/// Any odd side and any number of channels; operands of one type.
pub(super) struct Direct(pub(super) Convolution);

impl Direct {
    /// Writes `y`.
    pub(super) fn forward<A: Accelerator>(
        &self,
        on: &A,
        x: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
        y: &A::Storage,
    ) -> Result<()> {
        let Convolution { inputs, side, .. } = self.0;
        let taps = side * side;
        convolve(on, &self.0, [x, weight], y, [inputs * taps, taps, 0])
    }

    /// Writes `∂x`: a convolution whose inputs are the outputs, the kernel turned by half a turn.
    pub(super) fn input_gradient<A: Accelerator>(
        &self,
        on: &A,
        grad: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
        x: &A::Storage,
    ) -> Result<()> {
        let Convolution { inputs, outputs, side, .. } = self.0;
        let taps = side * side;
        let turned = Convolution { inputs: outputs, outputs: inputs, ..self.0 };
        convolve(on, &turned, [grad, weight], x, [taps, inputs * taps, 1])
    }

    /// Writes `∂weight` in f32.
    pub(super) fn kernel_gradient<A: Accelerator>(
        &self,
        on: &A,
        grad: &Operand<'_, A::Storage>,
        x: &Operand<'_, A::Storage>,
        weight: &A::Storage,
    ) -> Result<()> {
        let Convolution { inputs, outputs, side, .. } = self.0;
        let numbers = outputs * inputs * side * side;
        if numbers == 0 {
            return Ok(());
        }
        let mut args = vec![grad.address(on)?, x.address(on)?, on.address(weight, 0)?];
        args.extend(sizes(&self.0)?);
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("conv_direct_kernel_{}", suffix(grad.dtype())?),
            grid: blocks(numbers, 1)?,
            threads: THREADS as u32,
            shared: 0,
            args: &args,
        })
    }
}

fn convolve<A: Accelerator>(
    on: &A,
    convolution: &Convolution,
    [x, weight]: [&Operand<'_, A::Storage>; 2],
    y: &A::Storage,
    strides: [usize; 3],
) -> Result<()> {
    let Convolution { images, outputs, height, width, .. } = *convolution;
    let numbers = images * outputs * height * width;
    if numbers == 0 {
        return Ok(());
    }
    let mut args = vec![x.address(on)?, weight.address(on)?, on.address(y, 0)?];
    args.extend(sizes(convolution)?);
    args.extend(strides.into_iter().map(Arg::size).collect::<Result<Vec<_>>>()?);
    on.launch(&Launch {
        module: MODULE,
        kernel: &format!("conv_direct_{}", suffix(x.dtype())?),
        grid: blocks(numbers, THREADS)?,
        threads: THREADS as u32,
        shared: 0,
        args: &args,
    })
}

fn sizes(convolution: &Convolution) -> Result<Vec<Arg>> {
    let Convolution { images, inputs, outputs, height, width, side } = *convolution;
    [images, inputs, outputs, height, width, side].into_iter().map(Arg::size).collect()
}
