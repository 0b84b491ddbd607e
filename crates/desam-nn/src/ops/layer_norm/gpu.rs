//! Layer norm by kernels.

use crate::gpu::{Accelerator, Arg, KernelOp, Launch, Module, Operand, blocks, module, suffix};
use candle_core::{DType, Result, Shape, bail};

const MODULE: Module = module!("layer_norm", LAYER_NORM);
/// Rows of a block, a warp each.
const ROWS: usize = 8;

/// `(x, weight, bias) → y`: weight and bias in f32, `y` in `to`.
pub(super) struct LayerNorm {
    pub(super) eps: f64,
    pub(super) to: DType,
}

impl KernelOp for LayerNorm {
    const NAME: &'static str = "desam-layer-norm";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, weight, bias] = inputs else { bail!("layer norm: {} inputs", inputs.len()) };
        let width = x.dims().last().copied().unwrap_or(1);
        if weight.count() != width || bias.count() != width {
            let (weights, biases) = (weight.count(), bias.count());
            bail!("layer norm: rows of {width}, {weights} weights, {biases} biases");
        }
        let y = on.allocate(x.count(), self.to)?;
        let rows = x.count() / width.max(1);
        if rows > 0 {
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("layer_norm_{}_{}", suffix(x.dtype())?, suffix(self.to)?),
                grid: blocks(rows, ROWS)?,
                threads: 32 * ROWS as u32,
                shared: 0,
                args: &[
                    x.address(on)?,
                    weight.address(on)?,
                    bias.address(on)?,
                    on.address(&y, 0)?,
                    Arg::size(rows)?,
                    Arg::size(width)?,
                    Arg::F32(self.eps as f32),
                ],
            })?;
        }
        Ok((y, x.layout.shape().clone()))
    }
}
