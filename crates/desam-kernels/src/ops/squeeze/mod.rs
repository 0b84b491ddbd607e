//! Squeeze-and-excitation: the mean of each plane, and planes times a factor each. Means and factors are
//! f32.

use crate::ops::instance_norm::{PlaneParts, moments};
use crate::{Accelerator, KernelOp, Module, Operand, TypedKernel, module, run_op};
use candle_core::{DType, Result, Shape, Tensor, bail};

const MODULE: Module = module!("squeeze", SQUEEZE);

/// Mean of each plane (global average pooling), `x [B, C, H, W] → [B, C]`, f32.
#[derive(Debug)]
pub struct PlaneMean;

impl KernelOp for PlaneMean {
    const NAME: &'static str = "desam-plane-mean";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x] = inputs else { bail!("means of planes: {} inputs", inputs.len()) };
        let (parts, shape) = (PlaneParts::of(x.dims())?, each_plane(x.dims()));
        let means = on.allocate(shape.elem_count(), DType::F32)?;
        let sums = moments(on, x)?;
        let args = [on.address(&sums, 0)?, on.address(&means, 0)?];
        parts.launch(
            on,
            MODULE,
            TypedKernel { name: "squeeze_join_means", dtype: DType::F32 },
            &args,
        )?;
        Ok((means, shape))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [x] = inputs else { bail!("means of planes: {} inputs", inputs.len()) };
        let op = PlaneMeanBackward { shape: x.shape().clone(), dtype: x.dtype() };
        Ok(vec![Some(run_op(op, &[&grad.detach()])?)])
    }
}

/// `∂mean [B, C] → ∂x`
struct PlaneMeanBackward {
    shape: Shape,
    dtype: DType,
}

impl KernelOp for PlaneMeanBackward {
    const NAME: &'static str = "desam-plane-mean-gradient";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [grad] = inputs else { bail!("means of planes: {} inputs", inputs.len()) };
        let dx = on.allocate(self.shape.elem_count(), self.dtype)?;
        let args = [grad.address(on)?, on.address(&dx, 0)?];
        let parts = PlaneParts::of(self.shape.dims())?;
        parts.launch(
            on,
            MODULE,
            TypedKernel { name: "squeeze_spread", dtype: self.dtype },
            &args,
        )?;
        Ok((dx, self.shape.clone()))
    }
}

/// Each plane times a factor, `(x [B, C, H, W], factors [B, C]) → x · factors`.
#[derive(Debug)]
pub struct PlaneScale;

impl KernelOp for PlaneScale {
    const NAME: &'static str = "desam-plane-scale";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, factors] = inputs else { bail!("planes times factors: {} inputs", inputs.len()) };
        if factors.layout.shape() != &each_plane(x.dims()) {
            bail!("{:?} factors of planes {:?}", factors.dims(), x.dims());
        }
        let y = on.allocate(x.count(), x.dtype())?;
        let args = [x.address(on)?, factors.address(on)?, on.address(&y, 0)?];
        PlaneParts::of(x.dims())?.launch(
            on,
            MODULE,
            TypedKernel { name: "squeeze_scale", dtype: x.dtype() },
            &args,
        )?;
        Ok((y, x.layout.shape().clone()))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, factors] = inputs else { bail!("planes times factors: {} inputs", inputs.len()) };
        let grad = grad.to_dtype(x.dtype())?.detach();
        let of_x = x.track_op().then(|| run_op(Self, &[&grad, &factors.detach()]));
        let of_factors = factors.track_op().then(|| run_op(FactorGradient, &[&x.detach(), &grad]));
        Ok(vec![of_x.transpose()?, of_factors.transpose()?])
    }
}

/// `(x, ∂y) → ∂factors`
struct FactorGradient;

impl KernelOp for FactorGradient {
    const NAME: &'static str = "desam-plane-scale-gradient";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, grad] = inputs else { bail!("planes times factors: {} inputs", inputs.len()) };
        let (parts, shape) = (PlaneParts::of(x.dims())?, each_plane(x.dims()));
        let (sums, all) = (parts.sums(on, 1)?, on.allocate(shape.elem_count(), DType::F32)?);
        let sums = on.address(&sums, 0)?;
        let args = [x.address(on)?, grad.address(on)?, sums];
        parts.launch(on, MODULE, TypedKernel { name: "squeeze_along", dtype: x.dtype() }, &args)?;
        let args = [sums, on.address(&all, 0)?];
        parts.launch(
            on,
            MODULE,
            TypedKernel { name: "squeeze_join_sums", dtype: DType::F32 },
            &args,
        )?;
        Ok((all, shape))
    }
}

/// `[B, C]` of `[B, C, H, W]`.
fn each_plane(dims: &[usize]) -> Shape {
    Shape::from(&dims[..dims.len().min(2)])
}
