//! Affine map (linear layer): a matrix product by cuBLAS, then one kernel for the epilogue (bias,
//! activation, residual, layer norm).

mod added;
mod normed;
mod product;

use crate::ops::column_sums::of_columns;
use crate::ops::pointwise;
use crate::{Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, module, suffix};
pub use added::{LinearAdded, can_add};
use candle_core::backend::BackendStorage;
use candle_core::{Result, Shape, Tensor, bail};
pub use normed::{NORMED_WIDTH, NormedInputs, SumAndNorm, linear_normed};
use product::{LinearSizes, bias_type, result_shape};

const MODULE: Module = module!("linear", LINEAR);

/// The activation behind an affine map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinearActivation {
    /// Exact-erf GELU; has no gradient here.
    Gelu,
    /// Rectifier.
    Relu,
}

/// `(x, weight, bias) → activation(x · weightᵀ + bias)`, of the type of `x`; there may be no bias. A
/// weight of another type is cast for the product; its gradient has its own type.
#[derive(Debug)]
pub struct Linear {
    /// Applied to the result.
    pub activation: Option<LinearActivation>,
}

impl KernelOp for Linear {
    const NAME: &'static str = "desam-linear";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let (x, weight, bias) = match inputs {
            [x, weight] => (x, weight, None),
            [x, weight, bias] => (x, weight, Some(bias)),
            _ => bail!("linear: {} inputs", inputs.len()),
        };
        let (outputs, width) = weight.layout.shape().dims2()?;
        if x.dims().last() != Some(&width) || bias.is_some_and(|b| b.count() != outputs) {
            let biases = bias.map(|b| b.count());
            bail!(
                "linear: {:?} does not fit a weight of {outputs} outputs × {width} inputs and biases: \
                 {biases:?}",
                x.dims()
            );
        }
        let sizes = LinearSizes::new(x.dims(), outputs);
        let y = sizes.product(on, x, weight)?;
        let shape = result_shape(x.dims(), outputs);
        let follows = bias.is_some() || self.activation.is_some();
        if !follows || sizes.rows * outputs == 0 {
            return Ok((y, shape));
        }
        let own = bias.map_or(x.dtype(), |b| bias_type(b.dtype(), x.dtype()));
        let cast = match bias {
            Some(b) if b.dtype() != own => Some(b.storage.to_dtype(b.layout, own)?),
            _ => None,
        };
        let bias = match (&cast, bias) {
            (Some(cast), _) => on.address(cast, 0)?,
            (None, Some(bias)) => bias.address(on)?,
            (None, None) => KernelArgument::NULL,
        };
        let name = match self.activation {
            None => "bias",
            Some(LinearActivation::Relu) => "relu",
            Some(LinearActivation::Gelu) => "gelu",
        };
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("linear_{name}_{}_{}", suffix(x.dtype())?, suffix(own)?),
            grid: sizes.grid()?,
            threads: 256,
            shared: 0,
            args: &[
                on.address(&y, 0)?,
                bias,
                KernelArgument::size(sizes.rows)?,
                KernelArgument::size(outputs)?,
            ],
        })?;
        Ok((y, shape))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let (x, weight, bias) = match inputs {
            [x, weight] => (x, weight, None),
            [x, weight, bias] => (x, weight, Some(bias)),
            _ => bail!("linear: {} inputs", inputs.len()),
        };
        let grad = match self.activation {
            None => grad.clone(),
            Some(LinearActivation::Relu) => pointwise::relu_backward(output, grad)?,
            Some(LinearActivation::Gelu) => bail!("linear: GELU is fused only without a gradient"),
        };
        let sizes = LinearSizes::new(x.dims(), weight.dim(0)?);
        let wanted = [x.track_op(), weight.track_op()];
        let mut all = sizes.gradients([x, weight], &grad, wanted)?.to_vec();
        if let Some(bias) = bias {
            let sums = || of_columns(&grad, sizes.outputs)?.to_dtype(bias.dtype());
            all.push(bias.track_op().then(sums).transpose()?);
        }
        Ok(all)
    }
}
