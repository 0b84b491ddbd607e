//! Activations on the CPU in one pass, forward and backward.

use crate::ops::matmul::dense;
use crate::ops::vector::{CHUNK, Map, Map2, build, f32s, fma, map, map2, normal};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
use pulp::Simd;

/// `1 / √(2π)`
const BELL: f32 = 0.398_942_3;

/// A function of each number, with its derivative.
pub(crate) trait Activation: Map {
    /// The op's name.
    const NAME: &'static str;

    /// `(x, ∂y) → ∂x`
    type Backward: Map2;

    /// The gradient's function.
    fn backward(self) -> Self::Backward;
}

/// Rectifier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relu;

/// What is negative multiplied by a slope.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeakyRelu(pub(super) f32);

/// Exact-erf GELU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gelu;

/// Gradient of another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backward<F>(F);

impl Map for Relu {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        Map2::at(Backward(self), simd, x, x)
    }
}

impl Map2 for Backward<Relu> {
    /// Of a negative number and of zero nothing is passed on (PyTorch); NaN stays.
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
        simd.mul_f32s(x, normal(simd, x).below)
    }
}

impl Map2 for Backward<Gelu> {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: S::f32s, grad: S::f32s) -> S::f32s {
        let normal = normal(simd, x);
        let density = simd.mul_f32s(normal.bell, simd.splat_f32s(BELL));
        simd.mul_f32s(grad, fma(simd, x, density, normal.below))
    }
}

macro_rules! activation {
    ($type:ty, $name:literal) => {
        impl Activation for $type {
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

/// An activation as an op: `x → y`, f32.
pub(super) struct Pointwise<F>(pub(super) F);

impl<F: Activation> CustomOp1 for Pointwise<F> {
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

/// `(x, ∂y) → ∂x`, f32.
pub(crate) fn backward<F: Activation>(f: F, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
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
