//! Layer norm over the last dimension, row by row, forward and backward.

use crate::ops::matmul::{Stored, dense};
use crate::ops::vector::{
    CentredProducts, SquaredDeviations, Values, build, build_pair, each, f32s, fma, kernel,
    ordered_sum, parts, sum,
};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use pulp::Simd;

/// Numbers of a block, in whole rows. Gradients of weight and bias are summed within a block, then block
/// by block, so the bits do not depend on the threads.
const AT_ONCE: usize = 1 << 15;

/// The op `(x, weight, bias) → y`, f32.
pub(super) struct LayerNorm {
    pub(super) eps: f64,
}

/// Parameters of all rows.
#[derive(Clone, Copy)]
struct Parameters<'a> {
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "desam-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        weight: &CpuStorage,
        wl: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let stored: [Stored<'_>; 3] = [(x, xl), (weight, wl), (bias, bl)];
        let [x, weight, bias] = [dense(stored[0])?, dense(stored[1])?, dense(stored[2])?];
        let (row, chunk) = rows(xl.shape());
        if weight.len() != row || bias.len() != row {
            bail!("layer norm: rows of {row}, {} weights, {} biases", weight.len(), bias.len());
        }
        let parameters = Parameters { weight, bias, eps: self.eps as f32 };
        let y = build(x.len(), chunk, |i, y| {
            forward(&x[i * chunk..][..y.len()], parameters, y);
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let ((xs, xl), (ws, wl)) = (x.storage_and_layout(), weight.storage_and_layout());
        let (gs, gl) = grad.storage_and_layout();
        let (all, weight, g) = (f32s(&xs, xl)?, f32s(&ws, wl)?, f32s(&gs, gl)?);
        let (row, chunk) = rows(x.shape());
        let parameters = Parameters { weight, bias: &[], eps: self.eps as f32 };
        let blocks: Vec<_> = parts(all.len(), chunk).map(|(_, len)| [len, 2 * row]).collect();
        let [dx, sums] = build_pair(&blocks, |i, [dx, sums]| {
            let part = i * chunk..i * chunk + dx.len();
            backward([&all[part.clone()], &g[part]], parameters, [dx, sums]);
            Ok(())
        })?;
        let mut dweight = ordered_sum(&sums, 2 * row);
        let dbias = Tensor::from_vec(dweight.split_off(row), row, &Device::Cpu)?;
        let dweight = Tensor::from_vec(dweight, row, &Device::Cpu)?;
        Ok((Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?), Some(dweight), Some(dbias)))
    }
}

/// Length of a row, and of a chunk of whole rows.
fn rows(shape: &Shape) -> (usize, usize) {
    let row = shape.dims().last().copied().unwrap_or(1);
    (row, (row * (AT_ONCE / row.max(1)).max(1)).max(1))
}

/// Mean and reciprocal standard deviation of a row.
#[inline(always)]
fn moments<S: Simd>(simd: S, x: &[f32], eps: f32) -> [f32; 2] {
    let n = x.len() as f32;
    let mean = sum(simd, Values, [x, x], 0.0) / n;
    let variance = sum(simd, SquaredDeviations { mean }, [x, x], mean) / n;
    [mean, 1.0 / (variance + eps).sqrt()]
}

kernel! {
    fn forward(simd: S, x: &'a [f32], parameters: Parameters<'a>, y: &'a mut [f32]) -> () {
        let Parameters { weight, bias, eps } = parameters;
        let row = weight.len().max(1);
        for (xs, ys) in x.chunks_exact(row).zip(y.chunks_exact_mut(row)) {
            let [mean, scale] = moments(simd, xs, eps).map(|v| simd.splat_f32s(v));
            each!(simd: S; x in xs, w in weight, b in bias; y in ys => {
                let normal = simd.mul_f32s(simd.sub_f32s(x, mean), scale);
                y = fma(simd, normal, w, b);
            });
        }
    }
}

kernel! {
    /// Layer norm gradient. With n the normalised row and h = ∂y · weight:
    /// ∂x = scale · (h - mean(h) - n · mean(h · n)), ∂weight = Σ ∂y · n, ∂bias = Σ ∂y.
    fn backward(
        simd: S,
        inputs: [&'a [f32]; 2],
        parameters: Parameters<'a>,
        outputs: [&'a mut [f32]; 2],
    ) -> () {
        let ([x, grad], [dx, sums]) = (inputs, outputs);
        let Parameters { weight, bias: _, eps } = parameters;
        let row = weight.len().max(1);
        let (dweight, dbias) = sums.split_at_mut(weight.len());
        let rows = x.chunks_exact(row).zip(grad.chunks_exact(row));
        for ((xs, gs), dxs) in rows.zip(dx.chunks_exact_mut(row)) {
            let [mean, scale] = moments(simd, xs, eps);
            let [middle, factor] = [mean, scale].map(|v| simd.splat_f32s(v));
            each!(simd: S; x in xs, g in gs, w in weight; h in dxs, dw in dweight, db in dbias => {
                let normal = simd.mul_f32s(simd.sub_f32s(x, middle), factor);
                dw = fma(simd, g, normal, dw);
                db = simd.add_f32s(db, g);
                h = simd.mul_f32s(g, w);
            });
            let n = xs.len() as f32;
            let h = sum(simd, Values, [dxs, dxs], 0.0) / n;
            let dot = sum(simd, CentredProducts { mean }, [dxs, xs], mean) * scale / n;
            let [h, dot] = [h, dot * scale].map(|v| simd.splat_f32s(v));
            each!(simd: S; x in xs; d in dxs => {
                let rest = simd.sub_f32s(d, h);
                let off = simd.sub_f32s(x, middle);
                d = simd.mul_f32s(factor, simd.sub_f32s(rest, simd.mul_f32s(off, dot)));
            });
        }
    }
}
