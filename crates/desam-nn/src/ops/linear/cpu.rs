//! The affine map on the CPU, forward and backward.

use super::Activation;
use crate::gradients::store_leaf_gradient;
use crate::ops::gemm_conv::{DenseGemm, TileEpilogue};
use crate::ops::matmul::{Beta, Matrix, Stored, View, dense, matmul};
use crate::ops::pointwise::{self, Relu};
use crate::ops::vector::{CHUNK, build, each, f32s, kernel, ordered_sum};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use gemm::Parallelism;

/// Rows of a block of the bias gradient's sum. Blocks are added in their order, so the bits do not
/// depend on the threads.
const BLOCK_ROWS: usize = 64;

/// The op `(x, weight, bias) → y`, f32; an empty `bias` means none.
pub(super) struct Linear {
    /// Fused activation: GELU only where no gradient is wanted.
    pub(super) activation: Activation,
    /// Contiguous residual, added last; only where no gradient is wanted.
    pub(super) residual: Option<Tensor>,
}

/// Sizes of the product.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProductSizes {
    pub(super) rows: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl ProductSizes {
    fn new(x: &Shape, weight: &Shape) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        match x.dims().split_last() {
            Some((last, rows)) if *last == inputs => {
                Ok(Self { rows: rows.iter().product(), inputs, outputs })
            }
            _ => bail!("linear: {x:?} and a weight of {outputs} outputs × {inputs} inputs"),
        }
    }

    /// Input gradient `[rows, inputs]`: the output's gradient times the weight.
    pub(super) fn input_gradient(self, grad: &[f32], weight: &[f32]) -> Result<Vec<f32>> {
        let Self { rows, inputs, outputs } = self;
        product(View::dense(rows, outputs).on(grad), View::dense(outputs, inputs).on(weight))
    }

    /// Weight gradient `[outputs, inputs]`: the transpose of the output's gradient times the input.
    pub(super) fn weight_gradient(self, grad: &[f32], x: &[f32]) -> Result<Vec<f32>> {
        let Self { rows, inputs, outputs } = self;
        product(View::dense(rows, outputs).on(grad).t(), View::dense(rows, inputs).on(x))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "desam-linear"
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
        let sizes = ProductSizes::new(xl.shape(), wl.shape())?;
        if !bias.is_empty() && bias.len() != sizes.outputs {
            bail!("linear: {} biases for {} outputs", bias.len(), sizes.outputs);
        }
        let mut dims = xl.shape().dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = sizes.outputs;
        }
        Ok((CpuStorage::F32(self.forward(x, weight, bias, sizes)?), Shape::from(dims)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = match self.activation {
            Activation::Identity => grad.contiguous()?,
            Activation::Relu => pointwise::backward(Relu, y, grad)?,
            Activation::Gelu => bail!("linear: GELU is fused only without a gradient"),
        };
        let sizes = ProductSizes::new(x.shape(), weight.shape())?;
        let ((xs, xl), (ws, wl)) = (x.storage_and_layout(), weight.storage_and_layout());
        let (gs, gl) = grad.storage_and_layout();
        let (xs, ws, gs) = (f32s(&xs, xl)?, f32s(&ws, wl)?, f32s(&gs, gl)?);
        let tensor = |values, shape: &Shape| Tensor::from_vec(values, shape, &Device::Cpu);
        let dx = x.track_op().then(|| tensor(sizes.input_gradient(gs, ws)?, x.shape()));
        let dweight =
            weight.track_op().then(|| tensor(sizes.weight_gradient(gs, xs)?, weight.shape()));
        let dbias = bias.track_op().then(|| tensor(column_sums(gs, sizes.outputs)?, bias.shape()));
        let (dweight, dbias) = (dweight.transpose()?, dbias.transpose()?);
        Ok((
            store_leaf_gradient(x, dx.transpose()?),
            store_leaf_gradient(weight, dweight),
            store_leaf_gradient(bias, dbias),
        ))
    }
}

impl Linear {
    fn forward(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        sizes: ProductSizes,
    ) -> Result<Vec<f32>> {
        let ProductSizes { rows, inputs, outputs } = sizes;
        let residual = self.residual.as_ref().map(Tensor::storage_and_layout);
        let residual = match &residual {
            Some((storage, layout)) => f32s(storage, layout)?,
            None => &[],
        };
        let epilogue = TileEpilogue { bias, activation: self.activation, residual };
        DenseGemm { x, weight, rows, inputs, outputs }.run(epilogue)
    }
}

fn product(lhs: Matrix<'_, f32>, rhs: Matrix<'_, f32>) -> Result<Vec<f32>> {
    let to = View::dense(lhs.view.rows, rhs.view.cols);
    let mut out = build(to.rows * to.cols, CHUNK, |_, _| Ok(()))?;
    let all = Parallelism::Rayon(rayon::current_num_threads());
    matmul(to.on_mut(&mut out), lhs, rhs, Beta::Zero, all)?;
    Ok(out)
}

/// Column sums of a matrix: the bias gradient. Blocks of a fixed number of rows, added in order.
pub(super) fn column_sums(rows: &[f32], len: usize) -> Result<Vec<f32>> {
    let block = BLOCK_ROWS * len.max(1);
    let sums = build(rows.len().div_ceil(block) * len, len, |i, sums| {
        add_rows(&rows[i * block..rows.len().min((i + 1) * block)], sums);
        Ok(())
    })?;
    Ok(ordered_sum(&sums, len))
}

kernel! {
    fn add_rows(simd: S, rows: &'a [f32], sums: &'a mut [f32]) -> () {
        for row in rows.chunks_exact(sums.len()) {
            each!(simd: S; x in row; sum in sums => { sum = simd.add_f32s(sum, x); });
        }
    }
}
