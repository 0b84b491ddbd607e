//! The transposed convolution by kernels: a product of matrices, and blocks put in their places.

use crate::ops::conv2d::pointwise::Pointwise;
use crate::{Accelerator, Arg, KernelOp, Launch, Module, Operand, run_op};
use crate::{blocks, module, suffix};
use candle_core::{DType, Layout, Result, Shape, Tensor, bail};

const MODULE: Module = module!("conv_transpose", CONV_TRANSPOSE);
const THREADS: usize = 256;

/// `(x [B, I, H, W], weight [I, O, 2, 2]) → y [B, O, 2H, 2W]`; the weight may be f32 while `x` is
/// not, and its gradient is of its own type.
#[derive(Debug)]
pub struct ConvTranspose2x2;

/// `∂y [B, O, 2H, 2W] → [B, 4 O, H, W]`: what each pixel became.
struct Split;

/// `([B, 4 O, H, W] of ∂y, weight) → ∂x`.
struct InputGradient;

/// `([B, 4 O, H, W] of ∂y, x) → ∂weight`.
struct KernelGradient {
    dtype: DType,
}

impl KernelOp for ConvTranspose2x2 {
    const NAME: &'static str = "desam-conv-transpose2x2";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, weight] = inputs else {
            bail!("transposed convolution: {} operands", inputs.len())
        };
        let (images, inputs, height, width) = x.layout.shape().dims4()?;
        let outputs = weight.layout.shape().dims4()?.1;
        let shape = Shape::from((images, outputs, 2 * height, 2 * width));
        let pixels = height * width;
        if images * inputs * outputs * pixels == 0 {
            // Nothing, or sums of nothing.
            return Ok((zeros(on, shape.elem_count(), x.dtype())?, shape));
        }
        // [I, 4 O], read the other way round: the gradient of a 1×1 convolution's input.
        let product = Pointwise { images, inputs: 4 * outputs, outputs: inputs, pixels };
        let product = product.input_gradient(x, weight)?;
        let y = on.allocate(shape.elem_count(), x.dtype())?;
        let way = Moved { planes: images * outputs, height, width };
        way.launch(on, "join", [on.address(&product, 0)?, on.address(&y, 0)?], (x.dtype(), true))?;
        Ok((y, shape))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, weight] = inputs else {
            bail!("transposed convolution: {} operands", inputs.len())
        };
        let split = run_op(Split, &[grad])?;
        let input = match x.track_op() {
            true => Some(run_op(InputGradient, &[&split, &weight.detach()])?),
            false => None,
        };
        let kernel = match weight.track_op() {
            true => {
                let op = KernelGradient { dtype: weight.dtype() };
                Some(run_op(op, &[&split, &x.detach()])?.reshape(weight.shape())?)
            }
            false => None,
        };
        Ok(vec![input, kernel])
    }
}

impl KernelOp for Split {
    const NAME: &'static str = "desam-conv-transpose2x2-split";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [grad] = inputs else { bail!("transposed convolution: {} operands", inputs.len()) };
        let (images, outputs, height, width) = grad.layout.shape().dims4()?;
        let (height, width) = (height / 2, width / 2);
        let split = on.allocate(grad.count(), grad.dtype())?;
        let whole = grad.layout.start_offset().is_multiple_of(8);
        let way = Moved { planes: images * outputs, height, width };
        let addresses = [grad.address(on)?, on.address(&split, 0)?];
        way.launch(on, "split", addresses, (grad.dtype(), whole))?;
        Ok((split, Shape::from((images, 4 * outputs, height, width))))
    }
}

impl KernelOp for InputGradient {
    const NAME: &'static str = "desam-conv-transpose2x2-input-gradient";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [grad, weight] = inputs else {
            bail!("transposed convolution: {} operands", inputs.len())
        };
        let (images, four, height, width) = grad.layout.shape().dims4()?;
        let inputs = weight.layout.shape().dims4()?.0;
        let shape = Shape::from((images, inputs, height, width));
        if images * inputs * four * height * width == 0 {
            return Ok((zeros(on, shape.elem_count(), grad.dtype())?, shape));
        }
        let product = Pointwise { images, inputs: four, outputs: inputs, pixels: height * width };
        Ok((product.forward(grad, weight)?, shape))
    }
}

impl KernelOp for KernelGradient {
    const NAME: &'static str = "desam-conv-transpose2x2-kernel-gradient";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [grad, x] = inputs else { bail!("transposed convolution: {} operands", inputs.len()) };
        let (images, four, height, width) = grad.layout.shape().dims4()?;
        let inputs = x.layout.shape().dims4()?.1;
        let shape = Shape::from((inputs, four));
        if images * inputs * four * height * width == 0 {
            return Ok((zeros(on, shape.elem_count(), self.dtype)?, shape));
        }
        let product = Pointwise { images, inputs: four, outputs: inputs, pixels: height * width };
        Ok((product.kernel_gradient(on, [x, grad], self.dtype)?, shape))
    }
}

/// Numbers on their way between blocks and an image.
struct Moved {
    planes: usize,
    height: usize,
    width: usize,
}

impl Moved {
    /// `aligned`: the image begins at a multiple of eight numbers.
    fn launch<A: Accelerator>(
        &self,
        on: &A,
        kernel: &str,
        [from, to]: [Arg; 2],
        (dtype, aligned): (DType, bool),
    ) -> Result<()> {
        let Self { planes, height, width } = *self;
        let aligned = aligned && width.is_multiple_of(4);
        let runs = planes * 2 * height * width / if aligned { 4 } else { 1 };
        if runs == 0 {
            return Ok(());
        }
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("conv_transpose_{kernel}_{}", suffix(dtype)?),
            grid: blocks(runs, THREADS)?,
            threads: THREADS as u32,
            shared: 0,
            args: &[
                from,
                to,
                Arg::size(planes)?,
                Arg::size(height)?,
                Arg::size(width)?,
                Arg::U32(u32::from(aligned)),
            ],
        })
    }
}

fn zeros<A: Accelerator>(on: &A, count: usize, dtype: DType) -> Result<A::Storage> {
    let mut zeros = on.allocate(count, dtype)?;
    if count > 0 {
        let zero = candle_core::scalar::Scalar::zero(dtype);
        candle_core::backend::BackendStorage::const_set(
            &mut zeros,
            zero,
            &Layout::contiguous(count),
        )?;
    }
    Ok(zeros)
}
