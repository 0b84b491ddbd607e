//! The affine map on a GPU: candle's product (cuBLAS), then one kernel for all that follows it.

use super::{Activation, Affine};
use crate::gpu::{
    Accelerator, Arg, KernelOp, Launch, Module, Operand, apply, blocks, module, suffix,
};
use crate::ops::column_sums::of_columns;
use crate::ops::pointwise;
use candle_core::backend::BackendStorage;
use candle_core::{DType, Layout, Result, Shape, Tensor, bail};

const MODULE: Module = module!("linear", LINEAR);
/// Rows and columns of a block.
const TILE: [usize; 2] = [32, 128];

/// Whether numbers of type `x` can be added to a tensor of type `to`.
pub(super) fn can_add(x: DType, to: DType) -> bool {
    x == to || to == DType::F32
}

/// `activation(x · weightᵀ + bias)`, of the type of `x`. A weight of another type is cast for the
/// product; its gradient has its own type.
pub(super) fn linear(
    x: &Tensor,
    affine: Affine<'_>,
    activation: Option<Activation>,
) -> Result<Tensor> {
    let op = Linear { activation };
    match affine.bias {
        Some(bias) => apply(op, &[x, affine.weight, bias]),
        None => apply(op, &[x, affine.weight]),
    }
}

/// `to + x · weightᵀ + bias`, of the type of `to`. Shapes were checked.
pub(super) fn added(x: &Tensor, affine: Affine<'_>, to: &Tensor) -> Result<Tensor> {
    let Affine { weight, bias } = affine;
    match bias {
        // An op has three inputs at most: weight and bias share one.
        Some(bias) if bias.track_op() => {
            let (outputs, _) = weight.dims2()?;
            let parameters = Tensor::cat(&[&weight.flatten_all()?, bias], 0)?;
            apply(Added { outputs, bias: Bias::Inside }, &[x, &parameters, to])
        }
        _ => {
            let bias = bias.map(Tensor::contiguous).transpose()?;
            let op = Added { outputs: weight.dim(0)?, bias: Bias::Frozen(bias) };
            apply(op, &[x, weight, to])
        }
    }
}

/// Sizes of the product.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    rows: usize,
    inputs: usize,
    outputs: usize,
}

impl Sizes {
    fn new(x: &[usize], outputs: usize) -> Self {
        let inputs = x.last().copied().unwrap_or(0);
        Self { rows: x.iter().product::<usize>() / inputs.max(1), inputs, outputs }
    }

    /// `x · weightᵀ`, of the type of `x`; the weight begins where its operand does.
    fn product<A: Accelerator>(
        self,
        on: &A,
        x: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        let Self { rows, inputs, outputs } = self;
        if rows * outputs == 0 {
            return on.allocate(0, x.dtype());
        }
        if inputs == 0 {
            bail!("linear: a map of no inputs");
        }
        let begin = weight.layout.start_offset();
        let turned = |offset| Layout::new(Shape::from((inputs, outputs)), vec![1, inputs], offset);
        let x_layout = Layout::contiguous_with_offset((rows, inputs), x.layout.start_offset());
        let sizes = (1, rows, outputs, inputs);
        if weight.dtype() == x.dtype() {
            return x.storage.matmul(weight.storage, sizes, &x_layout, &turned(begin));
        }
        let all = Layout::contiguous_with_offset(inputs * outputs, begin);
        let cast = weight.storage.to_dtype(&all, x.dtype())?;
        x.storage.matmul(&cast, sizes, &x_layout, &turned(0))
    }

    fn grid(self) -> Result<[u32; 3]> {
        blocks(self.rows.div_ceil(TILE[0]) * self.outputs.div_ceil(TILE[1]), 1)
    }

    /// Gradients of `x` and of the weight, where they are wanted.
    fn gradients(
        self,
        [x, weight]: [&Tensor; 2],
        grad: &Tensor,
        [of_x, of_weight]: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let Self { rows, inputs, outputs } = self;
        let g = grad.to_dtype(x.dtype())?.reshape((rows, outputs))?;
        let (x_alone, weight_alone) = (x.detach(), weight.detach());
        let dx = of_x.then(|| {
            let weight = weight_alone.to_dtype(x.dtype())?.reshape((outputs, inputs))?;
            g.matmul(&weight)?.reshape(x.shape())
        });
        // Summed in f32 and rounded once to the type of x, as PyTorch's autocast does.
        let dweight = of_weight.then(|| {
            let dweight = g.t()?.matmul(&x_alone.reshape((rows, inputs))?)?;
            dweight.to_dtype(weight.dtype())
        });
        Ok([dx.transpose()?, dweight.transpose()?])
    }
}

/// Shape of the result: that of `x` with another last side.
fn result_shape(x: &[usize], outputs: usize) -> Shape {
    let mut dims = x.to_vec();
    if let Some(last) = dims.last_mut() {
        *last = outputs;
    }
    Shape::from(dims)
}

/// Biases in a type that there are kernels for: their own, or f32.
fn bias_type(bias: DType, x: DType) -> DType {
    if bias == x { x } else { DType::F32 }
}

/// `(x, weight, bias) → y`; there may be no bias. GELU only where no gradient is wanted.
struct Linear {
    activation: Option<Activation>,
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
            (None, None) => Arg::NULL,
        };
        let name = match self.activation {
            None => "bias",
            Some(Activation::Relu) => "relu",
            Some(Activation::Gelu) => "gelu",
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
            None => grad.clone(),
            Some(Activation::Relu) => pointwise::relu_backward(output, grad)?,
            Some(Activation::Gelu) => bail!("linear: GELU is fused only without a gradient"),
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

/// Where the biases of [`Added`] are.
enum Bias {
    /// Behind the weight, in one tensor with it.
    Inside,
    /// In a tensor that gets no gradient, or there are none.
    Frozen(Option<Tensor>),
}

/// `(x, parameters, to) → to + x · weightᵀ + bias`.
struct Added {
    outputs: usize,
    bias: Bias,
}

impl KernelOp for Added {
    const NAME: &'static str = "desam-linear-added";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, parameters, to] = inputs else { bail!("linear: {} inputs", inputs.len()) };
        let (outputs, sizes) = (self.outputs, Sizes::new(x.dims(), self.outputs));
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
            (None, None) => Arg::NULL,
        };
        // The sum takes the product's place where it has its type.
        let other = match to.dtype() == x.dtype() {
            true => None,
            false => Some(on.allocate(sizes.rows * outputs, to.dtype())?),
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
                    Arg::size(sizes.rows)?,
                    Arg::size(outputs)?,
                    Arg::size(to.count() / outputs)?,
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
        let sizes = Sizes::new(x.dims(), self.outputs);
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
        let dto = to.track_op().then(|| match to.shape() == grad.shape() {
            true => Ok(grad.clone()),
            false => {
                let sums = of_columns(grad, to.elem_count())?;
                sums.to_dtype(to.dtype())?.reshape(to.shape())
            }
        });
        Ok(vec![dx, dparameters.transpose()?, dto.transpose()?])
    }
}
