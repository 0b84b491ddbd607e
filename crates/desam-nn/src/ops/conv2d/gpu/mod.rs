//! Convolution by kernels.

mod direct;
mod op;

use crate::gpu::{Accelerator, Operand};
use candle_core::backend::BackendStorage;
use candle_core::{DType, Result, bail};
use direct::Direct;

pub(super) use op::Same;

/// A convolution that keeps the side (stride 1, padding `side / 2`, `side` odd), for whoever has
/// storages in hand; every operand is contiguous.
///
/// Weights may be f32 while `x` is of another type: they are rounded to it. Sums are f32.
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

impl Convolution {
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
        self.check(x.count(), self.images * self.inputs)?;
        self.check_weight(weight.count())?;
        let y = on.allocate(self.images * self.outputs * self.height * self.width, x.dtype())?;
        let as_x = Cast::to(weight, x.dtype())?;
        Direct(*self).forward(on, x, &as_x.operand(weight), &y)?;
        Ok(y)
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
        self.check(grad.count(), self.images * self.outputs)?;
        self.check_weight(weight.count())?;
        let x = on.allocate(self.images * self.inputs * self.height * self.width, grad.dtype())?;
        let as_grad = Cast::to(weight, grad.dtype())?;
        Direct(*self).input_gradient(on, grad, &as_grad.operand(weight), &x)?;
        Ok(x)
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
        self.check(grad.count(), self.images * self.outputs)?;
        self.check(x.count(), self.images * self.inputs)?;
        if grad.dtype() != x.dtype() {
            bail!("convolution: a gradient of {:?} for {:?}", grad.dtype(), x.dtype());
        }
        let count = self.outputs * self.inputs * self.side * self.side;
        let weight = on.allocate(count, DType::F32)?;
        Direct(*self).kernel_gradient(on, grad, x, &weight)?;
        match dtype {
            DType::F32 => Ok(weight),
            other => weight.to_dtype(&candle_core::Layout::contiguous(count), other),
        }
    }

    fn check(&self, count: usize, planes: usize) -> Result<()> {
        if count != planes * self.height * self.width || self.side.is_multiple_of(2) {
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

/// An operand in another type, where it was not of it already.
struct Cast<S>(Option<(S, candle_core::Layout)>);

impl<S: BackendStorage> Cast<S> {
    fn to(operand: &Operand<'_, S>, dtype: DType) -> Result<Self> {
        if operand.dtype() == dtype {
            return Ok(Self(None));
        }
        let cast = operand.storage.to_dtype(operand.layout, dtype)?;
        Ok(Self(Some((cast, candle_core::Layout::contiguous(operand.layout.shape())))))
    }

    fn operand<'a>(&'a self, original: &Operand<'a, S>) -> Operand<'a, S> {
        match &self.0 {
            Some((storage, layout)) => Operand { storage, layout },
            None => Operand { storage: original.storage, layout: original.layout },
        }
    }
}
