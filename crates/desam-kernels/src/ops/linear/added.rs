//! The affine map added to a residual, with gradients.

use super::MODULE;
use super::product::{LinearSizes, bias_type, result_shape};
use crate::ops::column_sums::of_columns;
use crate::{Accelerator, KernelArgument, KernelOp, Launch, Operand, suffix};
use candle_core::backend::BackendStorage;
use candle_core::{DType, Layout, Result, Shape, Tensor, bail};

/// Whether there are kernels that add a product of type `x` to a tensor of type `to`.
pub fn can_add(x: DType, to: DType) -> bool {
    x == to || to == DType::F32
}

/// Location of the biases of [`LinearAdded`].
#[derive(Debug)]
enum Bias {
    /// Behind the weight, in one tensor with it.
    Inside,
    /// In a tensor that gets no gradient, or there are none.
    Frozen(Option<Tensor>),
}

/// `(x, parameters, to) → to + x · weightᵀ + bias`, of the type of `to`. The shapes must fit.
#[derive(Debug)]
pub struct LinearAdded {
    outputs: usize,
    bias: Bias,
}

impl LinearAdded {
    /// With `parameters` the weight alone: there is no bias, or one that gets no gradient.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn new(outputs: usize, bias: Option<&Tensor>) -> Result<Self> {
        let bias = bias.map(Tensor::contiguous).transpose()?;
        Ok(Self { outputs, bias: Bias::Frozen(bias) })
    }

    /// With `parameters` the weight's numbers, then the biases, so that both get gradients: an op has
    /// three inputs at most.
    pub fn with_biases_behind(outputs: usize) -> Self {
        Self { outputs, bias: Bias::Inside }
    }
}

impl KernelOp for LinearAdded {
    const NAME: &'static str = "desam-linear-added";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, parameters, to] = inputs else { bail!("linear: {} inputs", inputs.len()) };
        let (outputs, sizes) = (self.outputs, LinearSizes::new(x.dims(), self.outputs));
        let y = sizes.product(on, x, parameters)?;
        let shape = result_shape(x.dims(), outputs);
        let alone = match &self.bias {
            Bias::Frozen(Some(bias)) => Some(bias.storage_and_layout()),
            _ => None,
        };
        let weights = Layout::contiguous_with_offset(
            outputs,
            parameters.layout.start_offset() + outputs * sizes.inputs,
        );
        let bias: Option<(&A::Storage, &Layout)> = match (&self.bias, &alone) {
            (Bias::Inside, _) => Some((parameters.storage, &weights)),
            (_, Some((storage, layout))) => Some((on.of(storage)?, layout)),
            _ => None,
        };
        let own = bias.map_or(x.dtype(), |(b, _)| bias_type(b.dtype(), x.dtype()));
        let cast = match bias {
            Some((b, layout)) if b.dtype() != own => Some(b.to_dtype(layout, own)?),
            _ => None,
        };
        let bias = match (&cast, bias) {
            (Some(cast), _) => on.address(cast, 0)?,
            (None, Some((bias, layout))) => on.address(bias, layout.start_offset())?,
            (None, None) => KernelArgument::NULL,
        };
        // In place of the product if the types agree.
        let other = if to.dtype() == x.dtype() {
            None
        } else {
            Some(on.allocate(sizes.rows * outputs, to.dtype())?)
        };
        let out = other.as_ref().unwrap_or(&y);
        if sizes.rows * outputs > 0 {
            let (x, bias_type, to_type) = (suffix(x.dtype())?, suffix(own)?, suffix(to.dtype())?);
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("linear_added_{x}_{bias_type}_{to_type}"),
                grid: sizes.grid()?,
                threads: 256,
                shared: 0,
                args: &[
                    on.address(&y, 0)?,
                    bias,
                    to.address(on)?,
                    on.address(out, 0)?,
                    KernelArgument::size(sizes.rows)?,
                    KernelArgument::size(outputs)?,
                    KernelArgument::size(to.count() / outputs)?,
                ],
            })?;
        }
        Ok((other.unwrap_or(y), shape))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, parameters, to] = inputs else { bail!("linear: {} inputs", inputs.len()) };
        let sizes = LinearSizes::new(x.dims(), self.outputs);
        let count = sizes.inputs * sizes.outputs;
        let weight = match self.bias {
            Bias::Inside => parameters.narrow(0, 0, count)?,
            Bias::Frozen(_) => (*parameters).clone(),
        };
        let wanted = [x.track_op(), parameters.track_op()];
        let [dx, dweight] = sizes.gradients([x, &weight], grad, wanted)?;
        let dparameters = dweight.map(|dweight| match self.bias {
            Bias::Frozen(_) => Ok(dweight),
            Bias::Inside => {
                let dbias = of_columns(grad, sizes.outputs)?.to_dtype(dweight.dtype())?;
                Tensor::cat(&[&dweight.flatten_all()?, &dbias], 0)
            }
        });
        let dto = to.track_op().then(|| {
            if to.shape() == grad.shape() {
                return Ok(grad.clone());
            }
            let sums = of_columns(grad, to.elem_count())?;
            sums.to_dtype(to.dtype())?.reshape(to.shape())
        });
        Ok(vec![dx, dparameters.transpose()?, dto.transpose()?])
    }
}
