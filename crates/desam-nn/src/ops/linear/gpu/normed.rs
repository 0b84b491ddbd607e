//! The map added to something and the norm of the sum, without gradients.

use super::Affine;
use super::product::{Sizes, bias_type, result_shape};
use crate::gpu::{
    Accelerator, Arg, KernelOp, Launch, Module, Operand, apply, blocks, module, suffix,
};
use crate::ops::layer_norm::NormParameters;
use candle_core::op::BackpropOp;
use candle_core::{DType, Result, Shape, Tensor, bail};
use std::sync::{Arc, OnceLock};

const MODULE: Module = module!("linear_normed", LINEAR_NORMED);
/// Rows of a block, a warp each.
const ROWS: usize = 8;
/// The longest row that a warp holds.
pub(in crate::ops::linear) const NORMED_WIDTH: usize = 1536;

/// What follows the sum.
pub(in crate::ops::linear) struct Follows<'a> {
    /// Its norm.
    pub(in crate::ops::linear) norm: NormParameters<'a>,
    /// Whether the sum is wanted too.
    pub(in crate::ops::linear) keep: bool,
}

/// The norm, of the type of `x`, and the sum, of the type of `to`, if it is wanted. Shapes were
/// checked, nothing is tracked, a row has at most [`NORMED_WIDTH`] numbers.
pub(in crate::ops::linear) fn normed(
    x: &Tensor,
    Affine { weight, bias }: Affine<'_>,
    to: &Tensor,
    Follows { norm, keep }: Follows<'_>,
) -> Result<(Tensor, Option<Tensor>)> {
    let outputs = weight.dim(0)?;
    let [scale, shift] = [norm.weight, norm.bias];
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
        eps: norm.eps,
        sum: keep.then(|| sum.clone()),
    };
    let normed = apply(op, &[x, weight, to])?;
    Ok((normed, sum.get().cloned()))
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
        let sizes = Sizes::new(x.dims(), outputs);
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
                None => Ok(Arg::NULL),
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
                    sum.as_ref().map_or(Ok(Arg::NULL), |sum| on.address(sum, 0))?,
                    scale?,
                    shift?,
                    Arg::size(sizes.rows)?,
                    Arg::size(outputs)?,
                    Arg::size(to.count() / outputs)?,
                    Arg::F32(self.eps as f32),
                ],
            })?;
        }
        if let (Some(place), Some(sum)) = (&self.sum, sum) {
            let none = BackpropOp::none();
            let sum = Tensor::from_storage(on.wrap(sum), shape.clone(), none, false);
            if place.set(sum).is_err() {
                bail!("linear: a sum was made twice");
            }
        }
        Ok((y, shape))
    }
}
