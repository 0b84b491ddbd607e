//! Layer norm over the last dimension, forward and backward; over channels in [`LayerNorm2d`].

mod channels;

pub use channels::LayerNorm2d;

use crate::ops::column_sums::{self, Matrix, column_sums};
use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, blocks, module, run_op, suffix,
};
use candle_core::{DType, Result, Shape, Tensor, bail};

const MODULE: Module = module!("layer_norm", LAYER_NORM);
/// Rows per block, one warp each.
const ROWS: usize = 8;

/// Whether there are kernels that read type `from` and write type `to`.
pub fn is_known(from: DType, to: DType) -> bool {
    from == to || from == DType::F32 || to == DType::F32
}

/// Suffix of the kernels for rows of this width: a warp holds up to 128 times as many elements.
fn size(width: usize) -> &'static str {
    match width {
        0..=256 => "2",
        257..=768 => "6",
        769..=1536 => "12",
        _ => "any",
    }
}

/// `(x, weight, bias) → y`: weight and bias in f32, `y` in `to`.
#[derive(Debug)]
pub struct LayerNorm {
    /// Added to the variance.
    pub eps: f64,
    /// Type of the result.
    pub to: DType,
}

impl KernelOp for LayerNorm {
    const NAME: &'static str = "desam-layer-norm";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, weight, bias] = inputs else { bail!("layer norm: {} inputs", inputs.len()) };
        let width = x.dims().last().copied().unwrap_or(1);
        if weight.count() != width || bias.count() != width {
            let (weights, biases) = (weight.count(), bias.count());
            bail!("layer norm: rows of {width}, {weights} weights, {biases} biases");
        }
        let y = on.allocate(x.count(), self.to)?;
        let rows = x.count() / width.max(1);
        if rows > 0 {
            let (from, to) = (suffix(x.dtype())?, suffix(self.to)?);
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("layer_norm_{}_{from}_{to}", size(width)),
                grid: blocks(rows, ROWS)?,
                threads: 32 * ROWS as u32,
                shared: 0,
                args: &[
                    x.address(on)?,
                    weight.address(on)?,
                    bias.address(on)?,
                    on.address(&y, 0)?,
                    KernelArgument::size(rows)?,
                    KernelArgument::size(width)?,
                    KernelArgument::F32(self.eps as f32),
                ],
            })?;
        }
        Ok((y, x.layout.shape().clone()))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, weight, bias] = inputs else { bail!("layer norm: {} inputs", inputs.len()) };
        let rows = x.elem_count() / weight.elem_count().max(1);
        let seen = Tensor::zeros((rows, 2), DType::F32, x.device())?;
        gradients(
            [x, weight, bias],
            grad,
            &seen,
            LayerNormBackward { eps: self.eps, seen: seen.clone() },
            ParameterGradients,
        )
    }
}

/// Gradients of `[x, weight, bias]`. `back` computes that of `x` from `(x, ∂y, weight)` and stores mean
/// and scale of each norm in `seen`, from which `sums` computes those of weight and bias, if wanted.
fn gradients(
    [x, weight, bias]: [&Tensor; 3],
    grad: &Tensor,
    seen: &Tensor,
    back: impl KernelOp,
    sums: impl KernelOp,
) -> Result<Vec<Option<Tensor>>> {
    let x = x.detach();
    let dx = run_op(back, &[&x, grad, &weight.detach()])?;
    if !weight.track_op() && !bias.track_op() {
        return Ok(vec![Some(dx), None, None]);
    }
    let sums = run_op(sums, &[&x, grad, seen])?;
    Ok(vec![Some(dx), Some(sums.get(0)?), Some(sums.get(1)?)])
}

/// `(x, ∂y, weight) → ∂x`; mean and scale of each row are stored in `seen [rows, 2]`.
struct LayerNormBackward {
    eps: f64,
    seen: Tensor,
}

impl KernelOp for LayerNormBackward {
    const NAME: &'static str = "desam-layer-norm-backward";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, grad, weight] = inputs else { bail!("layer norm: {} inputs", inputs.len()) };
        let (width, dx) = (weight.count(), on.allocate(x.count(), x.dtype())?);
        let rows = x.count() / width.max(1);
        if rows > 0 {
            let (from, to) = (suffix(x.dtype())?, suffix(grad.dtype())?);
            let (seen, _) = self.seen.storage_and_layout();
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("layer_norm_backward_{}_{from}_{to}", size(width)),
                grid: blocks(rows, ROWS)?,
                threads: 32 * ROWS as u32,
                shared: 0,
                args: &[
                    x.address(on)?,
                    grad.address(on)?,
                    weight.address(on)?,
                    on.address(&dx, 0)?,
                    on.address(on.of(&seen)?, 0)?,
                    KernelArgument::size(rows)?,
                    KernelArgument::size(width)?,
                    KernelArgument::F32(self.eps as f32),
                ],
            })?;
        }
        Ok((dx, x.layout.shape().clone()))
    }
}

/// `(x, ∂y, seen) → [2, width]`: the gradients of weight and bias, f32.
struct ParameterGradients;

impl KernelOp for ParameterGradients {
    const NAME: &'static str = "desam-layer-norm-parameter-gradients";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, grad, seen] = inputs else { bail!("layer norm: {} inputs", inputs.len()) };
        let width = x.dims().last().copied().unwrap_or(1);
        let rows = x.count() / width.max(1);
        let chunks = rows.div_ceil(column_sums::ROWS).max(1);
        let parts = on.allocate(chunks * 2 * width, DType::F32)?;
        if width > 0 {
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!(
                    "layer_norm_sums_{}_{}",
                    suffix(x.dtype())?,
                    suffix(grad.dtype())?
                ),
                grid: column_sums::grid(rows, width)?,
                threads: 256,
                shared: 0,
                args: &[
                    x.address(on)?,
                    grad.address(on)?,
                    seen.address(on)?,
                    on.address(&parts, 0)?,
                    KernelArgument::size(rows)?,
                    KernelArgument::size(width)?,
                    KernelArgument::size(column_sums::ROWS)?,
                ],
            })?;
        }
        let parts = Matrix { storage: &parts, offset: 0, rows: chunks, width: 2 * width };
        Ok((column_sums(on, parts)?, Shape::from((2, width))))
    }
}
