//! Activations, forward and backward, and a broadcast sum.

mod added;

pub use added::BroadcastAdd;

use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, blocks, module, run_op, suffix,
};
use candle_core::{Result, Shape, Tensor, bail};

const MODULE: Module = module!("pointwise", POINTWISE);
/// Elements per block.
const BLOCK: usize = 4096;

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PointwiseActivation {
    /// Rectifier.
    Relu,
    /// Rectifier with this slope below zero.
    LeakyRelu(f32),
    /// `x · Φ(x)`, with the exact error function.
    Gelu,
}

impl PointwiseActivation {
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

/// An activation of every number, `x → y`.
#[derive(Debug)]
pub struct Pointwise(pub PointwiseActivation);

/// `(x, ∂y) → ∂x`
struct PointwiseBackward(PointwiseActivation);

/// The gradient of a rectifier's input, from its output and that one's gradient.
pub(crate) fn relu_backward(output: &Tensor, grad: &Tensor) -> Result<Tensor> {
    run_op(PointwiseBackward(PointwiseActivation::Relu), &[&output.detach(), grad])
}

/// Launches `kernel` on `inputs`, all of one shape and type, and returns its output.
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
        args.extend([
            KernelArgument::U32(count as u32),
            KernelArgument::U32((count as u64 >> 32) as u32),
        ]);
        args.push(KernelArgument::F32(slope));
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

impl KernelOp for Pointwise {
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
        Ok(vec![Some(run_op(PointwiseBackward(self.0), &[&x.detach(), grad])?)])
    }
}

impl KernelOp for PointwiseBackward {
    const NAME: &'static str = "desam-activation-backward";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        start(on, inputs, &format!("pointwise_{}_backward", self.0.name()), self.0.slope())
    }
}
