//! 2-D convolution, forward and both gradients.

mod direct;
pub(crate) mod gemm;
mod implicit_gemm;
mod op;
mod single_output;
mod split_k;
mod weight_packing;

use crate::{Accelerator, Operand};
use candle_core::{DType, Result, bail};
use direct::Direct;
use gemm::Gemm;
use implicit_gemm::ImplicitGemm;
use single_output::SingleOutput;

pub use op::Conv2d;

/// Sizes of a convolution that keeps the image's size (stride 1, padding `side / 2`, `side` odd). Its
/// methods work on storages; every operand is contiguous.
///
/// Weights may be f32 while `x` is of another type: matrix products round them to it. Accumulation
/// is in f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conv2dSizes {
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

/// Algorithm of a convolution.
enum Algorithm {
    /// 3×3.
    ImplicitGemm(ImplicitGemm),
    /// 1×1.
    Gemm(Gemm),
    /// 1×1 to one output.
    SingleOutput(SingleOutput),
    /// Any other kernel size, and empty tensors.
    Direct(Direct),
}

impl Conv2dSizes {
    /// The convolution that computes the input gradient: inputs and outputs exchanged, to be used with
    /// the kernel flipped along both sides.
    fn transposed(self) -> Self {
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
        match self.select_algorithm() {
            Algorithm::ImplicitGemm(algorithm) => algorithm.forward(on, x, weight),
            Algorithm::Gemm(algorithm) => algorithm.forward(x, weight),
            Algorithm::SingleOutput(algorithm) => algorithm.forward(on, x, weight),
            Algorithm::Direct(algorithm) => algorithm.forward(on, x, weight),
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
        match self.select_algorithm() {
            Algorithm::ImplicitGemm(algorithm) => algorithm.input_gradient(on, grad, weight),
            Algorithm::Gemm(algorithm) => algorithm.input_gradient(grad, weight),
            Algorithm::SingleOutput(algorithm) => algorithm.input_gradient(on, grad, weight),
            Algorithm::Direct(algorithm) => algorithm.input_gradient(on, grad, weight),
        }
    }

    /// `∂weight [O, I, side, side]` of type `dtype`, from `grad = ∂y [B, O, H, W]` and `x`, which
    /// have one type.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub(crate) fn weight_gradient<A: Accelerator>(
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
        match self.select_algorithm() {
            Algorithm::ImplicitGemm(algorithm) => algorithm.weight_gradient(on, [grad, x], dtype),
            Algorithm::Gemm(algorithm) | Algorithm::SingleOutput(SingleOutput(algorithm)) => {
                algorithm.weight_gradient(on, [grad, x], dtype)
            }
            Algorithm::Direct(algorithm) => algorithm.weight_gradient(on, [grad, x], dtype),
        }
    }

    fn select_algorithm(&self) -> Algorithm {
        let Self { images, inputs, outputs, height, width, side } = *self;
        let pointwise = Gemm { images, inputs, outputs, pixels: height * width };
        match side {
            _ if images * inputs * outputs * height * width == 0 => {
                Algorithm::Direct(Direct(*self))
            }
            1 if outputs == 1 => Algorithm::SingleOutput(SingleOutput(pointwise)),
            1 => Algorithm::Gemm(pointwise),
            3 => Algorithm::ImplicitGemm(ImplicitGemm(*self)),
            _ => Algorithm::Direct(Direct(*self)),
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
