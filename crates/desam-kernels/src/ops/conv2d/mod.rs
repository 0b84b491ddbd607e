//! Convolution by kernels.

mod direct;
mod head;
mod op;
mod packed;
pub(crate) mod pointwise;
mod shares;
mod tiled;

use crate::{Accelerator, Operand};
use candle_core::{DType, Result, bail};
use direct::Direct;
use head::Head;
use pointwise::Pointwise;
use tiled::Tiled;

pub use op::Conv2d;

/// A convolution that keeps the side (stride 1, padding `side / 2`, `side` odd), for whoever has
/// storages in hand; every operand is contiguous.
///
/// Weights may be f32 while `x` is of another type: where products of matrices are made they are
/// rounded to it. Sums are f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Convolution {
    /// `B` of `x [B, I, H, W]`.
    pub(crate) images: usize,
    /// `I` of `x` and of the weight `[O, I, side, side]`.
    pub(crate) inputs: usize,
    /// `O` of the weight and of `y [B, O, H, W]`.
    pub(crate) outputs: usize,
    /// `H`
    pub(crate) height: usize,
    /// `W`
    pub(crate) width: usize,
    /// Of the square kernel.
    pub(crate) side: usize,
}

/// How it is done.
enum Way {
    /// 3×3, in tiles.
    Tiled(Tiled),
    /// 1×1, as products of matrices.
    Pointwise(Pointwise),
    /// 1×1 to one output.
    Head(Head),
    /// Everything else, and nothing at all.
    Direct(Direct),
}

impl Convolution {
    /// What the gradient of its input is: a convolution whose inputs are its outputs, the kernel turned
    /// by half a turn.
    fn turned(self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..self }
    }

    /// `y [B, O, H, W]` of `x`'s type.
    ///
    /// # Errors
    /// When the operands are no such tensors or a kernel does not start.
    pub(crate) fn forward<A: Accelerator>(
        &self,
        on: &A,
        x: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        self.check(x.count(), self.inputs)?;
        self.check_weight(weight.count())?;
        match self.way() {
            Way::Tiled(way) => way.forward(on, x, weight),
            Way::Pointwise(way) => way.forward(x, weight),
            Way::Head(way) => way.forward(on, x, weight),
            Way::Direct(way) => way.forward(on, x, weight),
        }
    }

    /// `∂x [B, I, H, W]` of `grad`'s type, from `grad = ∂y [B, O, H, W]`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub(crate) fn input_gradient<A: Accelerator>(
        &self,
        on: &A,
        grad: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        self.check(grad.count(), self.outputs)?;
        self.check_weight(weight.count())?;
        match self.way() {
            Way::Tiled(way) => way.input_gradient(on, grad, weight),
            Way::Pointwise(way) => way.input_gradient(grad, weight),
            Way::Head(way) => way.input_gradient(on, grad, weight),
            Way::Direct(way) => way.input_gradient(on, grad, weight),
        }
    }

    /// `∂weight [O, I, side, side]` of type `dtype`, from `grad = ∂y [B, O, H, W]` and `x`, which
    /// have one type.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub(crate) fn kernel_gradient<A: Accelerator>(
        &self,
        on: &A,
        grad: &Operand<'_, A::Storage>,
        x: &Operand<'_, A::Storage>,
        dtype: DType,
    ) -> Result<A::Storage> {
        self.check(grad.count(), self.outputs)?;
        self.check(x.count(), self.inputs)?;
        if grad.dtype() != x.dtype() {
            bail!("convolution: a gradient of {:?} for {:?}", grad.dtype(), x.dtype());
        }
        match self.way() {
            Way::Tiled(way) => way.kernel_gradient(on, [grad, x], dtype),
            Way::Pointwise(way) | Way::Head(Head(way)) => way.kernel_gradient(on, [grad, x], dtype),
            Way::Direct(way) => way.kernel_gradient(on, [grad, x], dtype),
        }
    }

    fn way(&self) -> Way {
        let Self { images, inputs, outputs, height, width, side } = *self;
        let pointwise = Pointwise { images, inputs, outputs, pixels: height * width };
        match side {
            _ if images * inputs * outputs * height * width == 0 => Way::Direct(Direct(*self)),
            1 if outputs == 1 => Way::Head(Head(pointwise)),
            1 => Way::Pointwise(pointwise),
            3 => Way::Tiled(Tiled(*self)),
            _ => Way::Direct(Direct(*self)),
        }
    }

    fn check(&self, count: usize, channels: usize) -> Result<()> {
        let expected = self.images * channels * self.height * self.width;
        if count != expected || self.side.is_multiple_of(2) {
            bail!("convolution: {count} numbers for {self:?}");
        }
        Ok(())
    }

    fn check_weight(&self, count: usize) -> Result<()> {
        if count != self.outputs * self.inputs * self.side * self.side {
            bail!("convolution: {count} weights for {self:?}");
        }
        Ok(())
    }
}
