//! Softmax row by row, forward and backward.

use crate::ops::matmul::dense;
use crate::ops::vector::{Products, build, each, exp_up_to_max, f32s, kernel, sum, tail_or};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
use pulp::Simd;

/// Numbers of a chunk, in whole rows.
const AT_ONCE: usize = 1 << 14;

/// The op `x → y` over the last dimension, f32.
pub(super) struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "desam-softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = dense::<f32>((x, layout))?;
        let (row, chunk) = rows(layout.shape());
        let y = build(x.len(), chunk, |i, y| {
            y.copy_from_slice(&x[i * chunk..][..y.len()]);
            softmax_rows(y, row);
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let ((y_storage, y_layout), (g_storage, g_layout)) =
            (y.storage_and_layout(), grad.storage_and_layout());
        let (values, g) = (f32s(&y_storage, y_layout)?, f32s(&g_storage, g_layout)?);
        let (row, chunk) = rows(y.shape());
        let dx = build(values.len(), chunk, |i, dx| {
            dx.copy_from_slice(&g[i * chunk..][..dx.len()]);
            gradient_rows(&values[i * chunk..][..dx.len()], dx, row);
            Ok(())
        })?;
        Ok(Some(Tensor::from_vec(dx, y.shape(), &Device::Cpu)?))
    }
}

/// Length of a row, and of a chunk of whole rows.
fn rows(shape: &Shape) -> (usize, usize) {
    let row = shape.dims().last().copied().unwrap_or(1).max(1);
    (row, row * (AT_ONCE / row).max(1))
}

kernel! {
    /// Softmax of each row of `row` numbers, in place.
    pub(crate) fn softmax_rows(simd: S, y: &'a mut [f32], row: usize) -> () {
        for y in y.chunks_exact_mut(row) {
            let max = simd.splat_f32s(largest(simd, y));
            let total = shifted_exp(simd, y, max);
            scale(simd, y, 1.0 / total);
        }
    }
}

kernel! {
    /// Softmax gradient `∂x = y · (∂y - Σ y ∂y)` of each row, in place: `dx` holds `∂y` before.
    pub(crate) fn gradient_rows(simd: S, y: &'a [f32], dx: &'a mut [f32], row: usize) -> () {
        for (values, dx) in y.chunks_exact(row).zip(dx.chunks_exact_mut(row)) {
            let dot = simd.splat_f32s(sum(simd, Products, [values, dx], 0.0));
            each!(simd: S; y in values; g in dx => {
                g = simd.mul_f32s(y, simd.sub_f32s(g, dot));
            });
        }
    }
}

/// Maximum of a row, in four accumulators.
#[inline(always)]
fn largest<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let (x, tail) = S::as_simd_f32s(x);
    let least = simd.splat_f32s(f32::NEG_INFINITY);
    let mut lanes = [least; 4];
    let (fours, rest) = x.as_chunks::<4>();
    for four in fours {
        for (lane, x) in lanes.iter_mut().zip(four) {
            *lane = simd.max_f32s(*lane, *x);
        }
    }
    for x in rest {
        lanes[0] = simd.max_f32s(lanes[0], *x);
    }
    if !tail.is_empty() {
        lanes[1] = simd.max_f32s(lanes[1], tail_or(simd, tail, f32::NEG_INFINITY));
    }
    let [a, b, c, d] = lanes;
    simd.reduce_max_f32s(simd.max_f32s(simd.max_f32s(a, b), simd.max_f32s(c, d)))
}

/// `x ← exp(x - max)`; returns the sum.
#[inline(always)]
fn shifted_exp<S: Simd>(simd: S, x: &mut [f32], max: S::f32s) -> f32 {
    let (x, tail) = S::as_mut_simd_f32s(x);
    let mut lanes = [simd.splat_f32s(0.0); 4];
    let (fours, rest) = x.as_chunks_mut::<4>();
    for four in fours {
        for (lane, x) in lanes.iter_mut().zip(four) {
            *x = exp_up_to_max(simd, simd.sub_f32s(*x, max));
            *lane = simd.add_f32s(*lane, *x);
        }
    }
    for x in rest {
        *x = exp_up_to_max(simd, simd.sub_f32s(*x, max));
        lanes[0] = simd.add_f32s(lanes[0], *x);
    }
    if !tail.is_empty() {
        let e = exp_up_to_max(simd, simd.sub_f32s(simd.partial_load_f32s(tail), max));
        simd.partial_store_f32s(tail, e);
        lanes[1] = simd.add_f32s(lanes[1], simd.partial_load_f32s(tail));
    }
    let [a, b, c, d] = lanes;
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}

#[inline(always)]
fn scale<S: Simd>(simd: S, x: &mut [f32], by: f32) {
    let by = simd.splat_f32s(by);
    each!(simd: S; ; y in x => { y = simd.mul_f32s(y, by); });
}
