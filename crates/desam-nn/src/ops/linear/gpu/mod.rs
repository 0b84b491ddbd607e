//! The affine map on a GPU: candle's product (cuBLAS), then one kernel for all that follows it.

mod added;
mod normed;
mod product;

use super::{Activation, Affine};
use crate::gpu::{Accelerator, Arg, KernelOp, Launch, Module, Operand, apply, module, suffix};
use crate::ops::column_sums::of_columns;
use crate::ops::pointwise;
pub(super) use added::{added, can_add};
use candle_core::backend::BackendStorage;
use candle_core::{Result, Shape, Tensor, bail};
pub(super) use normed::{Follows, NORMED_WIDTH, normed};
use product::{Sizes, bias_type, result_shape};

const MODULE: Module = module!("linear", LINEAR);

/// `activation(x · weightᵀ + bias)`, of the type of `x`. A weight of another type is cast for the
/// product; its gradient has its own type.
pub(super) fn linear(x: &Tensor, affine: Affine<'_>, activation: Activation) -> Result<Tensor> {
    let op = Linear { activation };
    match affine.bias {
        Some(bias) => apply(op, &[x, affine.weight, bias]),
        None => apply(op, &[x, affine.weight]),
    }
}

/// `(x, weight, bias) → y`; there may be no bias. GELU only where no gradient is wanted.
struct Linear {
    activation: Activation,
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
                "linear: {:?} meets a weight of {outputs} outputs × {width} inputs and biases: \
                 {biases:?}",
                x.dims()
            );
        }
        let sizes = Sizes::new(x.dims(), outputs);
        let y = sizes.product(on, x, weight)?;
        let shape = result_shape(x.dims(), outputs);
        let follows = bias.is_some() || self.activation != Activation::Identity;
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
            (None, None) => Arg::NULL,
        };
        let name = match self.activation {
            Activation::Identity => "bias",
            Activation::Relu => "relu",
            Activation::Gelu => "gelu",
        };
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("linear_{name}_{}_{}", suffix(x.dtype())?, suffix(own)?),
            grid: sizes.grid()?,
            threads: 256,
            shared: 0,
            args: &[on.address(&y, 0)?, bias, Arg::size(sizes.rows)?, Arg::size(outputs)?],
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
            Activation::Identity => grad.clone(),
            Activation::Relu => pointwise::relu_backward(output, grad)?,
            Activation::Gelu => bail!("linear: GELU is fused only without a gradient"),
        };
        let sizes = Sizes::new(x.dims(), weight.dim(0)?);
        let wanted = [x.track_op(), weight.track_op()];
        let mut all = sizes.gradients([x, weight], &grad, wanted)?.to_vec();
        if let Some(bias) = bias {
            let sums = || of_columns(&grad, sizes.outputs)?.to_dtype(bias.dtype());
            all.push(bias.track_op().then(sums).transpose()?);
        }
        Ok(all)
    }
}
