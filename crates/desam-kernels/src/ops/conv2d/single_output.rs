//! 1×1 convolution to a single output channel (the mask head), a dot product over channels.

use super::gemm::Gemm;
use crate::{Accelerator, Cast, KernelArgument, Launch, Module, Operand, blocks, module, suffix};
use candle_core::{DType, Result};

const MODULE: Module = module!("conv_head", CONV_HEAD);
const THREADS: usize = 256;
/// Pixels per thread.
const RUN: usize = 8;

/// One output channel from all inputs; the weight gradient is that of [`Gemm`].
pub(super) struct SingleOutput(pub(super) Gemm);

impl SingleOutput {
    pub(super) fn forward<A: Accelerator>(
        &self,
        on: &A,
        x: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        self.launch(on, "conv_head", [x, weight], 1)
    }

    pub(super) fn input_gradient<A: Accelerator>(
        &self,
        on: &A,
        grad: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        self.launch(on, "conv_head_backward", [grad, weight], self.0.inputs)
    }

    /// Computes `channels` channels of each image.
    fn launch<A: Accelerator>(
        &self,
        on: &A,
        kernel: &str,
        [x, weight]: [&Operand<'_, A::Storage>; 2],
        channels: usize,
    ) -> Result<A::Storage> {
        let Gemm { images, inputs, pixels, .. } = self.0;
        let cast = Cast::to(weight, DType::F32)?;
        let y = on.allocate(images * channels * pixels, x.dtype())?;
        let whole = pixels.is_multiple_of(RUN) && x.layout.start_offset().is_multiple_of(RUN);
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("{kernel}_{}", suffix(x.dtype())?),
            grid: blocks(images * pixels.div_ceil(RUN), THREADS)?,
            threads: THREADS as u32,
            shared: 0,
            args: &[
                x.address(on)?,
                cast.operand(weight).address(on)?,
                on.address(&y, 0)?,
                KernelArgument::size(images)?,
                KernelArgument::size(inputs)?,
                KernelArgument::size(pixels)?,
                KernelArgument::U32(u32::from(whole)),
            ],
        })?;
        Ok(y)
    }
}
