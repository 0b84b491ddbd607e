//! The affine map added to a residual, and the layer norm of the sum, without gradients.

use super::product::{LinearSizes, bias_type, result_shape};
use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, blocks, module, run_op, suffix,
};
use candle_core::op::BackpropOp;
use candle_core::{DType, Result, Shape, Tensor, bail};
use std::sync::{Arc, OnceLock};

const MODULE: Module = module!("linear_normed", LINEAR_NORMED);
/// Rows per block, one warp each.
const ROWS: usize = 8;
/// The longest row that a warp holds.
pub const NORMED_WIDTH: usize = 1536;

/// Inputs of [`linear_normed`].
#[derive(Debug, Clone, Copy)]
pub struct NormedInputs<'a> {
    /// `[N, .., inputs]`
    pub x: &'a Tensor,
    /// `[outputs, inputs]`
    pub weight: &'a Tensor,
    /// `[outputs]`
    pub bias: Option<&'a Tensor>,
    /// The residual that the map is added to, `[N, .., outputs]` or `[1, .., outputs]`.
    pub to: &'a Tensor,
    /// Factors of the norm, `[outputs]`.
    pub norm_weight: &'a Tensor,
    /// Biases of the norm, `[outputs]`.
    pub norm_bias: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
}

/// Outputs of [`linear_normed`].
#[derive(Debug, Clone)]
pub struct SumAndNorm {
    /// The layer norm of the sum, of the type of `x`.
    pub normed: Tensor,
    /// The sum, of the type of `to`, if it is kept.
    pub sum: Option<Tensor>,
}

/// The layer norm of `to + x · weightᵀ + bias` in one pass over the product, without a gradient, and
/// the sum if `keep_sum` says so. The shapes of the map must fit; a row has at most [`NORMED_WIDTH`]
/// numbers.
///
/// # Errors
/// When the norm is not of `outputs` channels or a kernel does not start.
pub fn linear_normed(inputs: NormedInputs<'_>, keep_sum: bool) -> Result<SumAndNorm> {
    let NormedInputs { x, weight, bias, to, norm_weight: scale, norm_bias: shift, eps } = inputs;
    let outputs = weight.dim(0)?;
    if scale.elem_count() != outputs || shift.elem_count() != outputs {
        let (weights, biases) = (scale.elem_count(), shift.elem_count());
        bail!("layer norm: rows of {outputs}, {weights} weights, {biases} biases");
    }
    let bias = bias.map(|b| b.to_dtype(bias_type(b.dtype(), x.dtype()))?.contiguous());
    let sum = Arc::new(OnceLock::new());
    let op = AddedNormed {
        bias: bias.transpose()?,
        norm: [
            scale.to_dtype(DType::F32)?.contiguous()?,
            shift.to_dtype(DType::F32)?.contiguous()?,
        ],
        eps,
        sum: keep_sum.then(|| sum.clone()),
    };
    let normed = run_op(op, &[x, weight, to])?;
    Ok(SumAndNorm { normed, sum: sum.get().cloned() })
}

/// `(x, weight, to) → norm(to + x · weightᵀ + bias)`.
struct AddedNormed {
    bias: Option<Tensor>,
    /// Weight and bias, f32.
    norm: [Tensor; 2],
    eps: f64,
    /// Gets the sum, where it is wanted.
    sum: Option<Arc<OnceLock<Tensor>>>,
}

impl KernelOp for AddedNormed {
    const NAME: &'static str = "desam-linear-normed";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, weight, to] = inputs else { bail!("linear: {} inputs", inputs.len()) };
        let (outputs, _) = weight.layout.shape().dims2()?;
        let sizes = LinearSizes::new(x.dims(), outputs);
        let y = sizes.product(on, x, weight)?;
        let shape = result_shape(x.dims(), outputs);
        let count = sizes.rows * outputs;
        let sum = match &self.sum {
            Some(_) => Some(on.allocate(count, to.dtype())?),
            None => None,
        };
        if count > 0 {
            let own = self.bias.as_ref().map_or(x.dtype(), Tensor::dtype);
            let held = [self.bias.as_ref(), Some(&self.norm[0]), Some(&self.norm[1])];
            let held = held.map(|t| t.map(Tensor::storage_and_layout));
            let [bias, scale, shift] = held.each_ref().map(|t| match t {
                Some((storage, layout)) => on.address(on.of(storage)?, layout.start_offset()),
                None => Ok(KernelArgument::NULL),
            });
            let size = match outputs {
                0..=256 => "2",
                257..=768 => "6",
                _ => "12",
            };
            let types = [x.dtype(), own, to.dtype()].map(suffix);
            let [t, own, to_type] = types;
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("linear_normed_{size}_{}_{}_{}", t?, own?, to_type?),
                grid: blocks(sizes.rows, ROWS)?,
                threads: 32 * ROWS as u32,
                shared: 0,
                args: &[
                    on.address(&y, 0)?,
                    bias?,
                    to.address(on)?,
                    sum.as_ref().map_or(Ok(KernelArgument::NULL), |sum| on.address(sum, 0))?,
                    scale?,
                    shift?,
                    KernelArgument::size(sizes.rows)?,
                    KernelArgument::size(outputs)?,
                    KernelArgument::size(to.count() / outputs)?,
                    KernelArgument::F32(self.eps as f32),
                ],
            })?;
        }
        if let (Some(kept), Some(sum)) = (&self.sum, sum) {
            let none = BackpropOp::none();
            let sum = Tensor::from_storage(on.wrap(sum), shape.clone(), none, false);
            if kept.set(sum).is_err() {
                bail!("linear: a sum was made twice");
            }
        }
        Ok((y, shape))
    }
}
