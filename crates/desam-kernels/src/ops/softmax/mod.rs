//! Softmax over the last dimension, forward and backward.

use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, blocks, module, run_op, suffix,
};
use candle_core::{Result, Shape, Tensor, bail};

const MODULE: Module = module!("softmax", SOFTMAX);
/// Rows per block, one warp each.
const ROWS: usize = 8;

/// Softmax over the last dimension, `x → y`.
#[derive(Debug)]
pub struct Softmax;

/// `(y, ∂y) → ∂x`
struct SoftmaxBackward;

/// Launches `kernel` on `inputs`, all of one shape and type, and returns its output.
fn start<A: Accelerator>(
    on: &A,
    inputs: &[Operand<'_, A::Storage>],
    kernel: &str,
) -> Result<(A::Storage, Shape)> {
    let Some(x) = inputs.first() else { bail!("{kernel}: no inputs") };
    if inputs.iter().any(|i| i.dims() != x.dims() || i.dtype() != x.dtype()) {
        bail!("{kernel}: inputs differ in shape or type");
    }
    let width = x.dims().last().copied().unwrap_or(1);
    let rows = x.count() / width.max(1);
    let y = on.allocate(x.count(), x.dtype())?;
    if x.count() > 0 {
        let mut args = inputs.iter().map(|i| i.address(on)).collect::<Result<Vec<_>>>()?;
        args.extend([
            on.address(&y, 0)?,
            KernelArgument::size(rows)?,
            KernelArgument::size(width)?,
        ]);
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("{kernel}_{}", suffix(x.dtype())?),
            grid: blocks(rows, ROWS)?,
            threads: 32 * ROWS as u32,
            shared: 0,
            args: &args,
        })?;
    }
    Ok((y, x.layout.shape().clone()))
}

impl KernelOp for Softmax {
    const NAME: &'static str = "desam-softmax";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        start(on, inputs, "softmax")
    }

    fn backward(
        &self,
        _inputs: &[&Tensor],
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(run_op(SoftmaxBackward, &[&output.detach(), grad])?)])
    }
}

impl KernelOp for SoftmaxBackward {
    const NAME: &'static str = "desam-softmax-backward";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        start(on, inputs, "softmax_backward")
    }
}
