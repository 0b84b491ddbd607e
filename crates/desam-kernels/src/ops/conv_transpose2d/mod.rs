//! Transposed convolution, 2×2 with stride 2: a matrix product (GEMM), then a pixel shuffle.

use crate::ops::conv2d::gemm::Gemm;
use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, TypedKernel, blocks, module,
    run_op,
};
use candle_core::{DType, Layout, Result, Shape, Tensor, bail};

const MODULE: Module = module!("conv_transpose", CONV_TRANSPOSE);
const THREADS: usize = 256;

/// `(x [B, I, H, W], weight [I, O, 2, 2]) → y [B, O, 2H, 2W]`; the weight may be f32 while `x` is
/// not, and its gradient has its type.
#[derive(Debug)]
pub struct ConvTranspose2x2;

/// `∂y [B, O, 2H, 2W] → [B, 4 O, H, W]` (pixel unshuffle).
struct PixelUnshuffle;

/// `([B, 4 O, H, W] of ∂y, weight) → ∂x`.
struct InputGradient;

/// `([B, 4 O, H, W] of ∂y, x) → ∂weight`.
struct WeightGradient {
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
            // Empty, or sums over nothing.
            return Ok((zeros(on, shape.elem_count(), x.dtype())?, shape));
        }
        // The weight is [I, 4 O], transposed: this product is the input gradient of a 1×1 convolution.
        let product = Gemm { images, inputs: 4 * outputs, outputs: inputs, pixels };
        let product = product.input_gradient(x, weight)?;
        let y = on.allocate(shape.elem_count(), x.dtype())?;
        let shuffle = PixelShuffle { planes: images * outputs, height, width };
        shuffle.launch(
            on,
            TypedKernel { name: "conv_transpose_join", dtype: x.dtype() },
            [on.address(&product, 0)?, on.address(&y, 0)?],
            true,
        )?;
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
        let split = run_op(PixelUnshuffle, &[grad])?;
        let dx = x.track_op().then(|| run_op(InputGradient, &[&split, &weight.detach()]));
        let dweight = weight.track_op().then(|| {
            let op = WeightGradient { dtype: weight.dtype() };
            run_op(op, &[&split, &x.detach()])?.reshape(weight.shape())
        });
        Ok(vec![dx.transpose()?, dweight.transpose()?])
    }
}

impl KernelOp for PixelUnshuffle {
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
        let shuffle = PixelShuffle { planes: images * outputs, height, width };
        let addresses = [grad.address(on)?, on.address(&split, 0)?];
        let kernel = TypedKernel { name: "conv_transpose_split", dtype: grad.dtype() };
        shuffle.launch(on, kernel, addresses, whole)?;
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
        let product = Gemm { images, inputs: four, outputs: inputs, pixels: height * width };
        Ok((product.forward(grad, weight)?, shape))
    }
}

impl KernelOp for WeightGradient {
    const NAME: &'static str = "desam-conv-transpose2x2-weight-gradient";

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
        let product = Gemm { images, inputs: four, outputs: inputs, pixels: height * width };
        Ok((product.weight_gradient(on, [x, grad], self.dtype)?, shape))
    }
}

/// Moves pixels between 2×2 blocks, stored as channels, and an image (pixel shuffle).
struct PixelShuffle {
    planes: usize,
    height: usize,
    width: usize,
}

impl PixelShuffle {
    /// `aligned`: the image begins at a multiple of eight elements.
    fn launch<A: Accelerator>(
        &self,
        on: &A,
        kernel: TypedKernel<'_>,
        [from, to]: [KernelArgument; 2],
        aligned: bool,
    ) -> Result<()> {
        let Self { planes, height, width } = *self;
        let aligned = aligned && width.is_multiple_of(4);
        let runs = planes * 2 * height * width / if aligned { 4 } else { 1 };
        if runs == 0 {
            return Ok(());
        }
        on.launch(&Launch {
            module: MODULE,
            kernel: &kernel.full_name()?,
            grid: blocks(runs, THREADS)?,
            threads: THREADS as u32,
            shared: 0,
            args: &[
                from,
                to,
                KernelArgument::size(planes)?,
                KernelArgument::size(height)?,
                KernelArgument::size(width)?,
                KernelArgument::U32(u32::from(aligned)),
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
