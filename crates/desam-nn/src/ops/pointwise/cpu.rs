//! Activations on the CPU in one pass, forward and backward.

use crate::ops::matmul::dense;
use crate::ops::vector::{CHUNK, Map, Map2, build, f32s, fma, map, map2, normal};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
use pulp::Simd;

/// `1 / √(2π)`: the normal density at 0.
const DENSITY_AT_0: f32 = 0.398_942_3;

/// An activation function with its derivative.
pub(crate) trait ActivationFn: Map {
    /// The op's name.
    const NAME: &'static str;

    /// `(x, ∂y) → ∂x`
    type Backward: Map2;

    /// The function of the gradient.
    fn backward(self) -> Self::Backward;
}

/// ReLU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relu;

/// LeakyReLU with a negative slope.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeakyRelu(pub(super) f32);

/// GELU with the exact error function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gelu;

/// Gradient of an activation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backward<F>(F);

impl Map for Relu {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        Map2::at(Backward(self), simd, x, x)
    }
}

impl Map2 for Backward<Relu> {
    /// Zero for negative numbers and for zero itself, as in PyTorch; NaN stays NaN.
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: S::f32s, grad: S::f32s) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        simd.select_f32s(simd.less_than_or_equal_f32s(x, zero), zero, grad)
    }
}

impl Map for LeakyRelu {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        Map2::at(Backward(self), simd, x, x)
    }
}

impl Map2 for Backward<LeakyRelu> {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: S::f32s, grad: S::f32s) -> S::f32s {
        let rises = simd.greater_than_f32s(x, simd.splat_f32s(0.0));
        let less = simd.mul_f32s(grad, simd.splat_f32s(self.0.0));
        simd.select_f32s(rises, grad, less)
    }
}

impl Map for Gelu {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        simd.mul_f32s(x, normal(simd, x).cdf)
    }
}

impl Map2 for Backward<Gelu> {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: S::f32s, grad: S::f32s) -> S::f32s {
        let normal = normal(simd, x);
        let density = simd.mul_f32s(normal.density, simd.splat_f32s(DENSITY_AT_0));
        simd.mul_f32s(grad, fma(simd, x, density, normal.cdf))
    }
}

macro_rules! activation {
    ($type:ty, $name:literal) => {
        impl ActivationFn for $type {
            const NAME: &'static str = $name;
            type Backward = Backward<Self>;
            fn backward(self) -> Self::Backward {
                Backward(self)
            }
        }
    };
}
activation!(Relu, "desam-relu");
activation!(LeakyRelu, "desam-leaky-relu");
activation!(Gelu, "desam-gelu");

/// An activation as an op `x → y`, f32.
pub(super) struct Pointwise<F>(pub(super) F);

impl<F: ActivationFn> CustomOp1 for Pointwise<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = dense::<f32>((x, layout))?;
        let y = build(x.len(), CHUNK, |i, y| {
            map(self.0, &x[i * CHUNK..][..y.len()], y);
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(backward(self.0, x, grad)?))
    }
}

/// Gradient of an activation, `(x, ∂y) → ∂x`, f32.
pub(crate) fn backward<F: ActivationFn>(f: F, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let (x, grad) = (x.contiguous()?, grad.contiguous()?);
    let ((x_storage, x_layout), (g_storage, g_layout)) =
        (x.storage_and_layout(), grad.storage_and_layout());
    let (from, g) = (f32s(&x_storage, x_layout)?, f32s(&g_storage, g_layout)?);
    let dx = build(from.len(), CHUNK, |i, dx| {
        let part = |of: &[f32]| i * CHUNK..(i * CHUNK + dx.len()).min(of.len());
        map2(f.backward(), [&from[part(from)], &g[part(g)]], dx);
        Ok(())
    })?;
    Tensor::from_vec(dx, x.shape(), &Device::Cpu)
}
