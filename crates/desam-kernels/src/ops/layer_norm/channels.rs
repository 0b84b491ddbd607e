//! Layer norm over channels (SAM's LayerNorm2d), forward and backward.

use super::gradients;
use crate::ops::column_sums::{Matrix, column_sums};
use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, blocks, module, suffix,
};
use candle_core::{DType, Result, Shape, Tensor, bail};

const MODULE: Module = module!("layer_norm_2d", LAYER_NORM_2D);
/// Pixels per block.
const PIXELS: usize = 32;

/// `(x, weight, bias) → y`: weight and bias in f32, `y` of the type of `x`.
#[derive(Debug)]
pub struct LayerNorm2d {
    /// Added to the variance.
    pub eps: f64,
}

/// Sizes of the tensor.
#[derive(Debug, Clone, Copy)]
struct Planes {
    images: usize,
    channels: usize,
    pixels: usize,
}

impl Planes {
    fn new(shape: &Shape) -> Result<Self> {
        let (images, channels, h, w) = shape.dims4()?;
        Ok(Self { images, channels, pixels: h * w })
    }

    fn grid(self) -> Result<[u32; 3]> {
        blocks(self.images * self.pixels.div_ceil(PIXELS), 1)
    }

    fn sizes(self) -> Result<[KernelArgument; 2]> {
        Ok([KernelArgument::size(self.channels)?, KernelArgument::size(self.pixels)?])
    }
}

impl KernelOp for LayerNorm2d {
    const NAME: &'static str = "desam-layer-norm-2d";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, weight, bias] = inputs else { bail!("layer norm: {} inputs", inputs.len()) };
        let planes = Planes::new(x.layout.shape())?;
        let channels = planes.channels;
        if weight.count() != channels || bias.count() != channels {
            let (w, b) = (weight.count(), bias.count());
            bail!("layer norm: {channels} channels, {w} weights, {b} biases");
        }
        let y = on.allocate(x.count(), x.dtype())?;
        if x.count() > 0 {
            let [channels, pixels] = planes.sizes()?;
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("layer_norm_2d_{}", suffix(x.dtype())?),
                grid: planes.grid()?,
                threads: 256,
                shared: 0,
                args: &[
                    x.address(on)?,
                    weight.address(on)?,
                    bias.address(on)?,
                    on.address(&y, 0)?,
                    channels,
                    pixels,
                    KernelArgument::F32(self.eps as f32),
                ],
            })?;
        }
        Ok((y, x.layout.shape().clone()))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, weight, bias] = inputs else { bail!("layer norm: {} inputs", inputs.len()) };
        let Planes { images, pixels, .. } = Planes::new(x.shape())?;
        let seen = Tensor::zeros((images, 2, pixels), DType::F32, x.device())?;
        gradients(
            [x, weight, bias],
            grad,
            &seen,
            LayerNorm2dBackward { eps: self.eps, seen: seen.clone() },
            ParameterGradients,
        )
    }
}

/// `(x, ∂y, weight) → ∂x`; mean and scale of each pixel are stored in `seen [images, 2, pixels]`.
struct LayerNorm2dBackward {
    eps: f64,
    seen: Tensor,
}

impl KernelOp for LayerNorm2dBackward {
    const NAME: &'static str = "desam-layer-norm-2d-backward";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, grad, weight] = inputs else { bail!("layer norm: {} inputs", inputs.len()) };
        let planes = Planes::new(x.layout.shape())?;
        let dx = on.allocate(x.count(), x.dtype())?;
        if x.count() > 0 {
            let ([channels, pixels], (seen, _)) = (planes.sizes()?, self.seen.storage_and_layout());
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("layer_norm_2d_backward_{}", suffix(x.dtype())?),
                grid: planes.grid()?,
                threads: 256,
                shared: 0,
                args: &[
                    x.address(on)?,
                    grad.address(on)?,
                    weight.address(on)?,
                    on.address(&dx, 0)?,
                    on.address(on.of(&seen)?, 0)?,
                    channels,
                    pixels,
                    KernelArgument::F32(self.eps as f32),
                ],
            })?;
        }
        Ok((dx, x.layout.shape().clone()))
    }
}

/// `(x, ∂y, seen) → [2, channels]`: the gradients of weight and bias, f32.
struct ParameterGradients;

impl KernelOp for ParameterGradients {
    const NAME: &'static str = "desam-layer-norm-2d-parameter-gradients";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, grad, seen] = inputs else { bail!("layer norm: {} inputs", inputs.len()) };
        let planes = Planes::new(x.layout.shape())?;
        let width = 2 * planes.channels;
        let parts = on.allocate(planes.images * width, DType::F32)?;
        if planes.images * width > 0 {
            let [channels, pixels] = planes.sizes()?;
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("layer_norm_2d_sums_{}", suffix(x.dtype())?),
                grid: blocks(planes.images * planes.channels, 1)?,
                threads: 256,
                shared: 0,
                args: &[
                    x.address(on)?,
                    grad.address(on)?,
                    seen.address(on)?,
                    on.address(&parts, 0)?,
                    channels,
                    pixels,
                ],
            })?;
        }
        let parts = Matrix { storage: &parts, offset: 0, rows: planes.images, width };
        Ok((column_sums(on, parts)?, Shape::from((2, planes.channels))))
    }
}
