//! The convolution as an op with gradients.

use super::Convolution;
use crate::{Accelerator, KernelOp, Operand, run_op};
use candle_core::{DType, Result, Shape, Tensor, bail};

/// `(x [B, I, H, W], weight [O, I, K, K]) → y [B, O, H, W]`, `K` odd.
#[derive(Debug)]
pub struct Conv2d;

/// `(∂y, weight) → ∂x`.
struct InputGradient;

/// `(∂y, x) → ∂weight`.
struct KernelGradient {
    side: usize,
    dtype: DType,
}

/// Of an image `[B, channels, H, W]`.
fn on_image(image: &[usize], inputs: usize, outputs: usize, side: usize) -> Result<Convolution> {
    let [images, _, height, width] = *image else { bail!("convolution of {image:?}") };
    Ok(Convolution { images, inputs, outputs, height, width, side })
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
        let input = match x.track_op() {
            true => Some(run_op(InputGradient, &[grad, &weight.detach()])?),
            false => None,
        };
        let kernel = match weight.track_op() {
            true => {
                let op = KernelGradient { side: weight.dim(2)?, dtype: weight.dtype() };
                Some(run_op(op, &[grad, &x.detach()])?)
            }
            false => None,
        };
        Ok(vec![input, kernel])
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

impl KernelOp for KernelGradient {
    const NAME: &'static str = "desam-conv2d-kernel-gradient";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [grad, x] = inputs else { bail!("convolution: {} operands", inputs.len()) };
        let (inputs, outputs) = (x.layout.shape().dims4()?.1, grad.layout.shape().dims4()?.1);
        let of = on_image(x.dims(), inputs, outputs, self.side)?;
        let weight = of.kernel_gradient(on, grad, x, self.dtype)?;
        Ok((weight, Shape::from((outputs, inputs, self.side, self.side))))
    }
}
