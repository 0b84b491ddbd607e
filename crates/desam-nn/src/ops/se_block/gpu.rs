//! The block by kernels, whose convolution kernels may be f32 while `x` is of another type.

use super::{EPS, GATE, SLOPE, SeBlockKernels};
use crate::gpu::apply;
use candle_core::{Result, Tensor};
use desam_kernels::ops::se_block::{SeBlock, SeBlockConfig, SeBlockConstants, SeBlockTail};

const CONSTANTS: SeBlockConstants = SeBlockConstants { eps: EPS, slope: SLOPE, gate: GATE };

/// The block of one or more parts `x`, with all convolution kernels concatenated in `flat`.
pub(super) fn se_block(
    x: &[&Tensor],
    kernels: &SeBlockKernels<'_>,
    flat: &Tensor,
    tracked: bool,
) -> Result<Tensor> {
    let convolved = kernels.conv3.is_some();
    let outputs = kernels.conv1.dim(0)?;
    let config = SeBlockConfig { outputs, convolved, keep: tracked, constants: CONSTANTS };
    let run = |x: &[&Tensor]| apply(SeBlock::new(x, config)?, &[x, &[flat]].concat());
    match x {
        [_] => run(x),
        // The gradients of two parts come from the convolved shortcut's kernel.
        [_, _] if convolved => run(x),
        parts => run(&[&Tensor::cat(parts, 1)?]),
    }
}

/// The rest of a block from the outputs of its first convolutions; nothing is tracked.
pub(super) fn finish(main: &Tensor, shortcut: &Tensor, conv2: &Tensor) -> Result<Tensor> {
    apply(SeBlockTail(CONSTANTS), &[main, shortcut, conv2])
}
