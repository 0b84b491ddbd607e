//! The convolution as a differentiable op.

use super::Conv2dSizes;
use crate::{Accelerator, KernelOp, Operand, run_op};
use candle_core::{DType, Result, Shape, Tensor, bail};

/// `(x [B, I, H, W], weight [O, I, K, K]) → y [B, O, H, W]`, `K` odd.
#[derive(Debug)]
pub struct Conv2d;

/// `(∂y, weight) → ∂x`.
struct InputGradient;

/// `(∂y, x) → ∂weight`.
struct WeightGradient {
    side: usize,
    dtype: DType,
}

/// Of an image `[B, channels, H, W]`.
fn on_image(image: &[usize], inputs: usize, outputs: usize, side: usize) -> Result<Conv2dSizes> {
    let [images, _, height, width] = *image else { bail!("convolution of {image:?}") };
    Ok(Conv2dSizes { images, inputs, outputs, height, width, side })
}

impl KernelOp for Conv2d {
    const NAME: &'static str = "desam-conv2d";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, weight] = inputs else { bail!("convolution: {} operands", inputs.len()) };
        let (outputs, inputs, side, _) = weight.layout.shape().dims4()?;
        let of = on_image(x.dims(), inputs, outputs, side)?;
        let y = of.forward(on, x, weight)?;
        Ok((y, Shape::from((of.images, outputs, of.height, of.width))))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, weight] = inputs else { bail!("convolution: {} operands", inputs.len()) };
        let dx = x.track_op().then(|| run_op(InputGradient, &[grad, &weight.detach()]));
        let dweight = weight.track_op().then(|| {
            let op = WeightGradient { side: weight.dim(2)?, dtype: weight.dtype() };
            run_op(op, &[grad, &x.detach()])
        });
        Ok(vec![dx.transpose()?, dweight.transpose()?])
    }
}

impl KernelOp for InputGradient {
    const NAME: &'static str = "desam-conv2d-input-gradient";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [grad, weight] = inputs else { bail!("convolution: {} operands", inputs.len()) };
        let (outputs, inputs, side, _) = weight.layout.shape().dims4()?;
        let of = on_image(grad.dims(), inputs, outputs, side)?;
        let x = of.input_gradient(on, grad, weight)?;
        Ok((x, Shape::from((of.images, inputs, of.height, of.width))))
    }
}

impl KernelOp for WeightGradient {
    const NAME: &'static str = "desam-conv2d-weight-gradient";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [grad, x] = inputs else { bail!("convolution: {} operands", inputs.len()) };
        let (inputs, outputs) = (x.layout.shape().dims4()?.1, grad.layout.shape().dims4()?.1);
        let of = on_image(x.dims(), inputs, outputs, self.side)?;
        let weight = of.weight_gradient(on, grad, x, self.dtype)?;
        Ok((weight, Shape::from((outputs, inputs, self.side, self.side))))
    }
}
