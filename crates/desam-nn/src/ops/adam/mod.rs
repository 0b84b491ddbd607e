//! Adam's step, with decoupled weight decay, the length of gradients, and parameters' running means.

mod cpu;
#[cfg(feature = "kernels")]
mod gpu;
#[cfg(test)]
#[cfg(feature = "emulation")]
mod kernel_tests;
mod mean;
mod norm;
#[cfg(test)]
mod tests;

pub use mean::{Following, follow_all};
pub use norm::{square_sum, square_sum_all};

use candle_core::{DType, Result, Tensor, Var};

/// The two moments of one parameter. A step changes them where they are: who wants to keep their
/// numbers copies them ([`Tensor::copy`]).
#[derive(Debug)]
pub struct Moments {
    /// Mean of the gradient.
    pub first: Tensor,
    /// Mean of its square.
    pub second: Tensor,
}

impl Moments {
    /// Both zero: before the first step.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn zeros(of: &Tensor) -> Result<Self> {
        Ok(Self { first: of.zeros_like()?.detach(), second: of.zeros_like()?.detach() })
    }
}

/// A parameter with all that its step reads and changes, of one shape.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Changed.
    pub var: &'a Var,
    /// Read.
    pub grad: &'a Tensor,
    /// Changed.
    pub moments: &'a mut Moments,
}

impl Parameter<'_> {
    fn tensors(&self) -> [&Tensor; 4] {
        [self.var.as_tensor(), self.grad, &self.moments.first, &self.moments.second]
    }

    fn check(&self) -> Result<()> {
        let all = self.tensors();
        if all.iter().any(|t| t.shape() != self.var.shape()) {
            let dims = all.map(|t| t.shape().clone());
            candle_core::bail!("Adam: parameter, gradient and moments differ: {dims:?}");
        }
        Ok(())
    }

    /// Whether all is of this type and what is changed has no gaps.
    fn fits(&self, dtype: DType) -> bool {
        let all = self.tensors();
        all.iter().all(|t| t.dtype() == dtype) && [0, 2, 3].iter().all(|i| all[*i].is_contiguous())
    }
}

/// Constants of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Learning rate.
    pub rate: f64,
    /// Which step this is, from 1 on.
    pub step: u32,
    /// Weight decay, decoupled from the gradient (Loshchilov and Hutter; PyTorch's AdamW): the
    /// parameter shrinks by `rate · decay` of itself. 0 is Adam.
    pub decay: f64,
    /// What the gradient is multiplied with, below 1 where it is too long. 1 changes no bit.
    pub scale: f64,
}

impl AdamStep {
    /// Learning rate by the first moment's correction, and the root of the second's.
    fn corrections(&self) -> [f64; 2] {
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        [self.rate / (1.0 - self.beta1.powi(power)), (1.0 - self.beta2.powi(power)).sqrt()]
    }

    /// What is left of the parameter before the gradient's part.
    fn kept(&self) -> f64 {
        1.0 - self.rate * self.decay
    }

    /// Changes `var` and its `moments` by the gradient `grad`, all of one shape; see
    /// [`apply_all`](Self::apply_all).
    ///
    /// # Errors
    /// When shapes, types or devices differ or a tensor operation fails.
    pub fn apply(&self, var: &Var, grad: &Tensor, moments: &mut Moments) -> Result<()> {
        self.apply_all(&mut [Parameter { var, grad, moments }])
    }

    /// Takes the step of all parameters, in place: on a GPU in one launch for f32, on the CPU in one
    /// walk over each for f32 and f64, elsewhere by [`AdamStep::plain`]; the arithmetic is the same.
    ///
    /// # Errors
    /// When shapes, types or devices differ, before anything was changed, or a tensor operation fails.
    pub fn apply_all(&self, parameters: &mut [Parameter<'_>]) -> Result<()> {
        parameters.iter().try_for_each(Parameter::check)?;
        #[cfg(feature = "kernels")]
        if gpu::step(self, parameters)? {
            return Ok(());
        }
        parameters.iter_mut().try_for_each(|parameter| self.apply_one(parameter))
    }

    fn apply_one(&self, parameter: &mut Parameter<'_>) -> Result<()> {
        let on_cpu = parameter.tensors().iter().all(|t| t.device().is_cpu());
        let fits = |dtype| on_cpu && parameter.fits(dtype);
        let (single, double) = (fits(DType::F32), fits(DType::F64));
        let Parameter { var, grad, moments } = parameter;
        if single {
            cpu::apply::<f32>(self, var, &grad.contiguous()?, moments)
        } else if double {
            cpu::apply::<f64>(self, var, &grad.contiguous()?, moments)
        } else {
            self.plain(var, grad, moments)
        }
    }

    /// The same in elementary ops (Kingma and Ba's algorithm 1, in the order of PyTorch's
    /// arithmetic): the reference.
    ///
    /// # Errors
    /// When shapes, types or devices differ or a tensor operation fails.
    pub fn plain(&self, var: &Var, grad: &Tensor, moments: &mut Moments) -> Result<()> {
        if var.elem_count() == 0 {
            return Ok(());
        }
        let Self { beta1, beta2, epsilon, .. } = *self;
        let [rate, correction] = self.corrections();
        let grad = (grad.detach() * self.scale)?;
        let (mean, square) = ((&grad * (1.0 - beta1))?, (grad.sqr()? * (1.0 - beta2))?);
        moments.first = ((&moments.first * beta1)? + mean)?;
        moments.second = ((&moments.second * beta2)? + square)?;
        let root = ((moments.second.sqrt()? / correction)? + epsilon)?;
        let update = ((&moments.first * rate)? / root)?;
        var.set(&((var.as_tensor().detach() * self.kept())? - update)?)
    }
}
