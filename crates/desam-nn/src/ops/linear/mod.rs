//! Affine map of the last dimension, with the activation that follows it.

mod added;
mod cpu;
#[cfg(feature = "kernels")]
mod gpu;
mod normed;

use super::pointwise;
use crate::gpu::{Backend, select_backend};
use candle_core::{DType, Result, Tensor};
pub use normed::{Normed, linear_added_normed, linear_normed};

/// What follows an affine map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Exact-erf GELU (the image encoder).
    Gelu,
    /// Rectifier (the mask decoder).
    Relu,
}

impl Activation {
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => pointwise::gelu(x),
            Self::Relu => pointwise::relu(x),
        }
    }
}

/// `weight [outputs, inputs]` and `bias [outputs]` of an affine map.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// The matrix.
    pub weight: &'a Tensor,
    /// What is added.
    pub bias: Option<&'a Tensor>,
}

impl Affine<'_> {
    /// `f` of the same parameters in type `dtype`.
    fn with<R>(self, dtype: DType, f: impl FnOnce(Affine<'_>) -> Result<R>) -> Result<R> {
        let weight = self.weight.to_dtype(dtype)?;
        let bias = self.bias.map(|b| b.to_dtype(dtype)).transpose()?;
        f(Affine { weight: &weight, bias: bias.as_ref() })
    }
}

/// `activation(x · weightᵀ + bias)`: `x [.., inputs]` → `[.., outputs]`.
///
/// For f32 on the CPU bias and activation are applied to each tile of the product while it is in
/// the cache, on a GPU in one pass over the product. Backwards the weight gets its gradient in one
/// product over all rows, and what is not tracked gets none. All else by [`plain`].
///
/// The result has the type of `x`; parameters may be of another (f32 where `x` is bf16), and their
/// gradients are of their own.
///
/// # Errors
/// When the last dimension is not `inputs`.
pub fn linear(x: &Tensor, affine: Affine<'_>, activation: Option<Activation>) -> Result<Tensor> {
    let all = [Some(x), Some(affine.weight), affine.bias];
    // GELU's gradient needs what went into it, a rectifier's does not.
    let fused = activation.filter(|a| !tracked(&all) || *a == Activation::Relu);
    let y = match backend(&all) {
        #[cfg(feature = "kernels")]
        Backend::Kernels => gpu::linear(x, affine, fused)?,
        Backend::Cpu => apply(x, affine, cpu::Linear { activation: fused, residual: None })?,
        Backend::Plain => return affine.with(x.dtype(), |affine| plain(x, affine, activation)),
    };
    match activation {
        Some(activation) if fused.is_none() => activation.apply(&y),
        _ => Ok(y),
    }
}

/// `to + x · weightᵀ + bias`: `x [N, .., inputs]` → `[N, .., outputs]`, the shape of `to`, whose first
/// dimension may be 1: then it is added to each of the `N`. The sum is part of the product's last
/// pass: what is added to is the one thing held beside the result.
///
/// The result has the type of `to`, which may be f32 where `x` is bf16 or f16.
///
/// # Errors
/// When the last dimension is not `inputs`, the biases are not `outputs`, or `to` has another shape
/// than the product.
pub fn linear_added(x: &Tensor, affine: Affine<'_>, to: &Tensor) -> Result<Tensor> {
    let all = [Some(x), Some(affine.weight), affine.bias, Some(to)];
    let outputs = check_sum(x, affine, to)?;
    match backend(&all) {
        #[cfg(feature = "kernels")]
        Backend::Kernels if gpu::can_add(x.dtype(), to.dtype()) => {
            return gpu::added(x, affine, to);
        }
        Backend::Cpu => {}
        _ => {
            let y = affine.with(x.dtype(), |affine| plain(x, affine, None))?;
            return y.to_dtype(to.dtype())?.broadcast_add(to);
        }
    }
    if !tracked(&all) {
        return apply(
            x,
            affine,
            cpu::Linear { activation: None, residual: Some(to.contiguous()?) },
        );
    }
    // An op has three inputs at most: weight and bias share one.
    let weight = affine.weight.flatten_all()?;
    let parameters = match affine.bias {
        Some(bias) => Tensor::cat(&[&weight, bias], 0)?,
        None => weight.contiguous()?,
    };
    let op = added::LinearAdded { outputs };
    x.contiguous()?.apply_op3(&parameters, &to.contiguous()?, op)
}

/// Refuses what cannot be added; the outputs.
fn check_sum(x: &Tensor, affine: Affine<'_>, to: &Tensor) -> Result<usize> {
    let (outputs, inputs) = affine.weight.dims2()?;
    let biases = affine.bias.map_or(outputs, Tensor::elem_count);
    if x.dims().last() != Some(&inputs) || biases != outputs {
        candle_core::bail!(
            "linear: {:?} meets a weight of {outputs} outputs × {inputs} inputs and {biases} biases",
            x.dims()
        );
    }
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = outputs;
    }
    let repeated = matches!((dims.as_slice(), to.dims()), ([_, rest @ ..], [1, same @ ..])
        if rest == same && !rest.is_empty());
    if to.dims() != dims && !repeated {
        candle_core::bail!("linear: {dims:?} is to be added to {:?}", to.dims());
    }
    Ok(outputs)
}

fn backend(all: &[Option<&Tensor>]) -> Backend {
    select_backend(&all.iter().flatten().copied().collect::<Vec<_>>())
}

fn tracked(all: &[Option<&Tensor>]) -> bool {
    all.iter().flatten().any(|t| t.track_op())
}

fn apply(x: &Tensor, Affine { weight, bias }: Affine<'_>, op: cpu::Linear) -> Result<Tensor> {
    let none = Tensor::zeros(0, DType::F32, x.device())?;
    let bias = bias.unwrap_or(&none).contiguous()?;
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias, op)
}

/// The definition, in elementary ops: the reference.
///
/// # Errors
/// When the last dimension is not `inputs`.
pub fn plain(x: &Tensor, affine: Affine<'_>, activation: Option<Activation>) -> Result<Tensor> {
    // One product over all leading dimensions at once: candle would copy the weight for each.
    let (outputs, inputs) = affine.weight.dims2()?;
    let mut dims = x.dims().to_vec();
    let rows = x.elem_count() / inputs.max(1);
    let y = x.reshape((rows, inputs))?.matmul(&affine.weight.t()?)?;
    let y = match affine.bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    if let Some(last) = dims.last_mut() {
        *last = outputs;
    }
    let y = y.reshape(dims)?;
    match activation {
        Some(Activation::Gelu) => pointwise::plain_gelu(&y),
        Some(Activation::Relu) => y.relu(),
        None => Ok(y),
    }
}

#[cfg(test)]
#[cfg(feature = "emulation")]
mod kernel_tests;
#[cfg(test)]
mod tests;
