//! 1×1 to a single output.

use super::pointwise::Pointwise;
use crate::{Accelerator, Arg, Cast, Launch, Module, Operand, blocks, module, suffix};
use candle_core::{DType, Result};

const MODULE: Module = module!("conv_head", CONV_HEAD);
const THREADS: usize = 256;
/// Pixels of a thread.
const RUN: usize = 8;

/// One output of all inputs; the weight's gradient is the product's.
pub(super) struct Head(pub(super) Pointwise);

impl Head {
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
        self.launch(on, "conv_head_back", [grad, weight], self.0.inputs)
    }

    /// Makes `channels` of each image.
    fn launch<A: Accelerator>(
        &self,
        on: &A,
        kernel: &str,
        [x, weight]: [&Operand<'_, A::Storage>; 2],
        channels: usize,
    ) -> Result<A::Storage> {
        let Pointwise { images, inputs, pixels, .. } = self.0;
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
                Arg::size(images)?,
                Arg::size(inputs)?,
                Arg::size(pixels)?,
                Arg::U32(u32::from(whole)),
            ],
        })?;
        Ok(y)
    }
}
