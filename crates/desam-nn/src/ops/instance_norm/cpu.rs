//! Instance norm on the CPU, plane by plane, forward and backward.
//!
//! A plane is one thread's work, and within it sums run over a fixed number of lanes, so the bits
//! do not depend on the threads.

use crate::ops::matmul::{Real, dense};
use candle_core::{CpuStorage, Layout, Result, bail};
use rayon::prelude::*;

/// Lanes of a sum: enough that additions need not wait for each other.
const LANES: usize = 16;

/// Planes a thread takes at once.
const PLANES_AT_ONCE: usize = 8;

type Stored<'a> = (&'a CpuStorage, &'a Layout);

/// What is done to every plane.
pub(super) struct Planes {
    pub(super) pixels: usize,
    pub(super) eps: f64,
    pub(super) slope: f64,
}

/// Mean and reciprocal deviation of a plane.
struct Moments<T> {
    mean: T,
    scale: T,
}

impl Planes {
    pub(super) fn forward(&self, x: Stored<'_>) -> Result<CpuStorage> {
        match x.0 {
            CpuStorage::F32(_) => Ok(CpuStorage::F32(self.forward_of(dense::<f32>(x)?))),
            CpuStorage::F64(_) => Ok(CpuStorage::F64(self.forward_of(dense::<f64>(x)?))),
            _ => bail!("instance norm: expected f32 or f64"),
        }
    }

    pub(super) fn backward(&self, x: Stored<'_>, grad: Stored<'_>) -> Result<CpuStorage> {
        match (x.0, grad.0) {
            (CpuStorage::F32(_), CpuStorage::F32(_)) => {
                Ok(CpuStorage::F32(self.backward_of(dense::<f32>(x)?, dense(grad)?)))
            }
            (CpuStorage::F64(_), CpuStorage::F64(_)) => {
                Ok(CpuStorage::F64(self.backward_of(dense::<f64>(x)?, dense(grad)?)))
            }
            _ => bail!("instance norm: expected f32 or f64"),
        }
    }

    fn forward_of<T: Real>(&self, x: &[T]) -> Vec<T> {
        let slope = T::from_f64(self.slope);
        self.each_plane(x, |x, y| {
            let Moments { mean, scale } = self.moments(x);
            for (y, x) in y.iter_mut().zip(x) {
                let normal = (*x - mean) * scale;
                *y = if normal > T::ZERO { normal } else { normal * slope };
            }
        })
    }

    fn backward_of<T: Real>(&self, x: &[T], grad: &[T]) -> Vec<T> {
        let slope = T::from_f64(self.slope);
        let pixels = self.pixels.max(1);
        self.each_plane_indexed(x, |index, x, dx| {
            let grad = &grad[index * pixels..(index + 1) * pixels];
            let Moments { mean, scale } = self.moments(x);
            // With n the normalised x and h the gradient behind the rectifier,
            // ∂x = scale · (h - mean(h) - n · mean(h · n)).
            for ((dx, x), g) in dx.iter_mut().zip(x).zip(grad) {
                let rises = *x > mean;
                *dx = if rises { *g } else { *g * slope };
            }
            let h = T::from_f64(sum(dx, |_, h| h, x) / pixels as f64);
            let along = sum(dx, |x, h| h * ((x - mean) * scale), x) / pixels as f64;
            let along = T::from_f64(along);
            for (dx, x) in dx.iter_mut().zip(x) {
                *dx = scale * (*dx - h - (*x - mean) * scale * along);
            }
        })
    }

    fn moments<T: Real>(&self, x: &[T]) -> Moments<T> {
        let n = x.len().max(1) as f64;
        let mean = T::from_f64(sum(x, |_, v| v, x) / n);
        let variance = sum(x, |_, v| (v - mean) * (v - mean), x) / n;
        Moments { mean, scale: T::from_f64(1.0 / (variance + self.eps).sqrt()) }
    }

    fn each_plane<T: Real>(&self, x: &[T], f: impl Fn(&[T], &mut [T]) + Sync) -> Vec<T> {
        self.each_plane_indexed(x, |_, x, y| f(x, y))
    }

    fn each_plane_indexed<T: Real>(
        &self,
        x: &[T],
        f: impl Fn(usize, &[T], &mut [T]) + Sync,
    ) -> Vec<T> {
        let mut y = vec![T::ZERO; x.len()];
        let pixels = self.pixels.max(1);
        let chunks = y.par_chunks_mut(PLANES_AT_ONCE * pixels).enumerate();
        chunks.for_each(|(chunk, ys)| {
            for (plane, y) in ys.chunks_mut(pixels).enumerate() {
                let index = chunk * PLANES_AT_ONCE + plane;
                f(index, &x[index * pixels..(index + 1) * pixels], y);
            }
        });
        y
    }
}

/// Sum of `f(x, value)` over a plane, in [`LANES`] lanes that are added up in f64.
fn sum<T: Real>(values: &[T], f: impl Fn(T, T) -> T, x: &[T]) -> f64 {
    let mut lanes = [T::ZERO; LANES];
    let (mut values, mut xs) = (values.chunks_exact(LANES), x.chunks_exact(LANES));
    for (values, xs) in values.by_ref().zip(xs.by_ref()) {
        for ((lane, value), x) in lanes.iter_mut().zip(values).zip(xs) {
            *lane += f(*x, *value);
        }
    }
    for ((lane, value), x) in lanes.iter_mut().zip(values.remainder()).zip(xs.remainder()) {
        *lane += f(*x, *value);
    }
    lanes.iter().map(|lane| lane.to_f64()).sum()
}
