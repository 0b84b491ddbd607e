//! Affine map of the last dimension with a fused epilogue: activation, residual, layer norm.

mod cpu;
mod epilogue;
#[cfg(feature = "kernels")]
mod gpu;
mod residual;

use super::layer_norm::layer_norm_as;
pub use super::pointwise::Activation;
use crate::gpu::{Backend, select_backend};
use candle_core::{DType, Result, Tensor};
pub use epilogue::{Epilogue, SumAndNorm};

/// `weight [outputs, inputs]` and `bias [outputs]` of an affine map.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// The matrix.
    pub weight: &'a Tensor,
    /// Added to every row of the product.
    pub bias: Option<&'a Tensor>,
}

impl Affine<'_> {
    /// Calls `f` with the same parameters cast to `dtype`.
    fn with<R>(self, dtype: DType, f: impl FnOnce(Affine<'_>) -> Result<R>) -> Result<R> {
        let weight = self.weight.to_dtype(dtype)?;
        let bias = self.bias.map(|b| b.to_dtype(dtype)).transpose()?;
        f(Affine { weight: &weight, bias: bias.as_ref() })
    }
}

/// Affine map with an [`Epilogue`]: `norm(residual + activation(x · weightᵀ + bias))`, `x [.., inputs]`
/// → `[.., outputs]`.
///
/// For f32 on the CPU bias, activation and residual are applied to each tile of the product while it
/// is in the cache; on a GPU they, and where no gradient is wanted the norm, take one pass over the
/// product. Backward the weight gradient is one product over all rows, and what is not tracked gets
/// none. All else by [`plain`].
///
/// Parameters may be of another type than `x` (f32 where `x` is bf16); their gradients have the
/// parameters' type. The type of the result is that of [`Epilogue::result_type`].
///
/// # Errors
/// When the last dimension is not `inputs`, the residual does not have the product's shape (its first
/// dimension may be 1: it is then added to each of the first dimension), or the norm is not of
/// `outputs` channels.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use desam_nn::gradients::backward;
/// use desam_nn::ops::linear::{Activation, Affine, Epilogue, linear};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
/// let weight = Var::new(&[[0.5f32, -1.0], [2.0, 1.0]], &Device::Cpu)?;
/// let residual = Tensor::new(&[[10f32, 20.0]], &Device::Cpu)?;
/// let epilogue = Epilogue {
///     activation: Activation::Relu,
///     residual: Some(&residual),
///     ..Epilogue::default()
/// };
/// let y = linear(&x, Affine { weight: &weight, bias: None }, epilogue)?;
/// // 10 + max(0, 0.5 - 2) and 20 + max(0, 2 + 2)
/// assert_eq!(y.to_vec2::<f32>()?, [[10.0, 24.0]]);
/// let gradients = backward(&y.sum_all()?)?;
/// let dweight = gradients.get(&weight).expect("the weight is a variable");
/// // The rectifier passes no gradient to the first row.
/// assert_eq!(dweight.to_vec2::<f32>()?, [[0.0, 0.0], [1.0, 2.0]]);
/// # Ok(())
/// # }
/// ```
pub fn linear(x: &Tensor, affine: Affine<'_>, epilogue: Epilogue<'_>) -> Result<Tensor> {
    if let Some(fused) = fused_norm(x, affine, epilogue, false)? {
        return Ok(fused.normed);
    }
    let sum = linear_sum(x, affine, epilogue)?;
    normalise(x, &sum, epilogue)
}

/// [`linear`] that returns the sum before the norm as well, of the type of the residual: a transformer
/// block adds its next branch to it. Without a norm in the epilogue both are the sum.
///
/// # Errors
/// As [`linear`].
pub fn linear_with_sum(
    x: &Tensor,
    affine: Affine<'_>,
    epilogue: Epilogue<'_>,
) -> Result<SumAndNorm> {
    if let Some(FusedNorm { normed, sum: Some(sum) }) = fused_norm(x, affine, epilogue, true)? {
        return Ok(SumAndNorm { sum, normed });
    }
    let sum = linear_sum(x, affine, epilogue)?;
    let normed = normalise(x, &sum, epilogue)?;
    Ok(SumAndNorm { sum, normed })
}

/// The epilogue's last step, of the type of the result.
fn normalise(x: &Tensor, sum: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
    let dtype = epilogue.result_type(x);
    match epilogue.norm {
        Some(norm) => layer_norm_as(sum, norm, dtype),
        None => sum.to_dtype(dtype),
    }
}

/// Outputs of the fused kernel of product, residual and norm.
struct FusedNorm {
    normed: Tensor,
    sum: Option<Tensor>,
}

/// Product, residual and norm in one pass on a GPU, if there is a kernel for it and no gradient is
/// wanted.
#[cfg(feature = "kernels")]
fn fused_norm(
    x: &Tensor,
    affine: Affine<'_>,
    epilogue: Epilogue<'_>,
    keep: bool,
) -> Result<Option<FusedNorm>> {
    let (Some(to), Some(norm)) = (epilogue.residual, epilogue.norm) else {
        return Ok(None);
    };
    if epilogue.activation != Activation::Identity || epilogue.result_type(x) != x.dtype() {
        return Ok(None);
    }
    let fused = gpu::normed(x, affine, gpu::ResidualNorm { to, norm, keep })?;
    Ok(fused.map(|f| FusedNorm { normed: f.normed, sum: f.sum }))
}

/// Without kernels there is no such pass.
#[cfg(not(feature = "kernels"))]
fn fused_norm(_: &Tensor, _: Affine<'_>, _: Epilogue<'_>, _: bool) -> Result<Option<FusedNorm>> {
    Ok(None)
}

/// The epilogue up to the residual: of the residual's type, or of that of `x` without one.
fn linear_sum(x: &Tensor, affine: Affine<'_>, epilogue: Epilogue<'_>) -> Result<Tensor> {
    match (epilogue.residual, epilogue.activation) {
        (None, activation) => linear_activated(x, affine, activation),
        (Some(to), Activation::Identity) => linear_residual(x, affine, to),
        (Some(to), activation) => {
            check_residual(x, affine, to)?;
            linear_activated(x, affine, activation)?.to_dtype(to.dtype())?.broadcast_add(to)
        }
    }
}

/// `activation(x · weightᵀ + bias)`, of the type of `x`.
fn linear_activated(x: &Tensor, affine: Affine<'_>, activation: Activation) -> Result<Tensor> {
    let all = [Some(x), Some(affine.weight), affine.bias];
    // GELU's gradient needs its input, which a fused pass does not keep; a rectifier's needs only the
    // sign of its output.
    let fuses = activation == Activation::Relu || !tracked(&all);
    let fused = if fuses { activation } else { Activation::Identity };
    let y = match backend(&all) {
        #[cfg(feature = "kernels")]
        Backend::Kernels => gpu::linear(x, affine, fused)?,
        Backend::Cpu => apply(x, affine, cpu::Linear { activation: fused, residual: None })?,
        Backend::Plain => return affine.with(x.dtype(), |affine| plain(x, affine, activation)),
    };
    if fuses { Ok(y) } else { activation.apply(&y) }
}

/// `to + x · weightᵀ + bias`, of the type of `to`: the sum is part of the product's last pass, so `to`
/// is the only other tensor held.
fn linear_residual(x: &Tensor, affine: Affine<'_>, to: &Tensor) -> Result<Tensor> {
    let all = [Some(x), Some(affine.weight), affine.bias, Some(to)];
    let outputs = check_residual(x, affine, to)?;
    match backend(&all) {
        #[cfg(feature = "kernels")]
        Backend::Kernels if gpu::can_add(x.dtype(), to.dtype()) => {
            return gpu::added(x, affine, to);
        }
        Backend::Cpu => {}
        _ => {
            let y = affine.with(x.dtype(), |affine| plain(x, affine, Activation::Identity))?;
            return y.to_dtype(to.dtype())?.broadcast_add(to);
        }
    }
    if !tracked(&all) {
        let residual = Some(to.contiguous()?);
        return apply(x, affine, cpu::Linear { activation: Activation::Identity, residual });
    }
    // An op of candle's has three inputs at most: weight and bias share one.
    let weight = affine.weight.flatten_all()?;
    let parameters = match affine.bias {
        Some(bias) => Tensor::cat(&[&weight, bias], 0)?,
        None => weight.contiguous()?,
    };
    let op = residual::LinearResidual { outputs };
    x.contiguous()?.apply_op3(&parameters, &to.contiguous()?, op)
}

/// Refuses a residual `to` that cannot be added; returns the outputs.
fn check_residual(x: &Tensor, affine: Affine<'_>, to: &Tensor) -> Result<usize> {
    let (outputs, inputs) = affine.weight.dims2()?;
    let biases = affine.bias.map_or(outputs, Tensor::elem_count);
    if x.dims().last() != Some(&inputs) || biases != outputs {
        candle_core::bail!(
            "linear: {:?} and a weight of {outputs} outputs × {inputs} inputs and {biases} biases",
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

fn apply(x: &Tensor, affine: Affine<'_>, op: cpu::Linear) -> Result<Tensor> {
    let none = Tensor::zeros(0, DType::F32, x.device())?;
    let bias = affine.bias.unwrap_or(&none).contiguous()?;
    x.contiguous()?.apply_op3(&affine.weight.contiguous()?, &bias, op)
}

/// The definition of `activation(x · weightᵀ + bias)`, in elementary ops: the reference.
///
/// # Errors
/// When the last dimension is not `inputs`.
pub fn plain(x: &Tensor, affine: Affine<'_>, activation: Activation) -> Result<Tensor> {
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
    activation.plain(&y.reshape(dims)?)
}

#[cfg(test)]
#[cfg(feature = "emulation")]
mod kernel_tests;
#[cfg(test)]
mod tests;
