//! Activations by kernels, forward and backward.

use crate::gpu::{
    Accelerator, Arg, KernelOp, Launch, Module, Operand, apply, blocks, module, suffix,
};
use candle_core::{Result, Shape, Tensor, bail};

pub(super) const MODULE: Module = module!("pointwise", POINTWISE);
/// Numbers of a block.
const BLOCK: usize = 4096;

/// An activation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Relu,
    LeakyRelu(f32),
    Gelu,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::Gelu => "gelu",
        }
    }

    fn slope(self) -> f32 {
        match self {
            Self::LeakyRelu(slope) => slope,
            _ => 0.0,
        }
    }
}

/// `x → y`
pub(super) struct Forward(pub(super) Kind);

/// `(x, ∂y) → ∂x`
pub(super) struct Backward(pub(super) Kind);

/// Starts `kernel` on `inputs`, all of one shape and type; what it writes.
fn start<A: Accelerator>(
    on: &A,
    inputs: &[Operand<'_, A::Storage>],
    kernel: &str,
    slope: f32,
) -> Result<(A::Storage, Shape)> {
    let Some(x) = inputs.first() else { bail!("{kernel}: no inputs") };
    let fits = |i: &Operand<'_, A::Storage>| i.dims() == x.dims() && i.dtype() == x.dtype();
    if !inputs.iter().all(fits) {
        let all = inputs.iter().map(|i| (i.dims(), i.dtype())).collect::<Vec<_>>();
        bail!("{kernel}: inputs differ: {all:?}");
    }
    let count = x.count();
    let y = on.allocate(count, x.dtype())?;
    if count > 0 {
        let mut args = inputs.iter().map(|i| i.address(on)).collect::<Result<Vec<_>>>()?;
        args.push(on.address(&y, 0)?);
        args.extend([Arg::U32(count as u32), Arg::U32((count as u64 >> 32) as u32)]);
        args.push(Arg::F32(slope));
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("{kernel}_{}", suffix(x.dtype())?),
            grid: blocks(count, BLOCK)?,
            threads: 256,
            shared: 0,
            args: &args,
        })?;
    }
    Ok((y, x.layout.shape().clone()))
}

impl KernelOp for Forward {
    const NAME: &'static str = "desam-activation";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        start(on, inputs, &format!("pointwise_{}", self.0.name()), self.0.slope())
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [x] = inputs else { bail!("activation: {} inputs", inputs.len()) };
        Ok(vec![Some(apply(Backward(self.0), &[&x.detach(), grad])?)])
    }
}

impl KernelOp for Backward {
    const NAME: &'static str = "desam-activation-back";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        start(on, inputs, &format!("pointwise_{}_back", self.0.name()), self.0.slope())
    }
}
