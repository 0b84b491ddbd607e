//! The Adam optimizer's step with decoupled weight decay (AdamW), the gradient norm for clipping, and
//! exponential moving averages of parameters.

mod cpu;
#[cfg(feature = "kernels")]
mod gpu;
#[cfg(test)]
#[cfg(feature = "emulation")]
mod kernel_tests;
mod mean;
mod moving_average;
mod norm;
#[cfg(test)]
mod tests;

pub use mean::follow_all;
pub use moving_average::MovingAverage;
pub use norm::{square_sum, square_sum_all};

use candle_core::{DType, Result, Tensor, Var};

/// The optimizer state of one parameter: both moments. A step changes them in place; copy them
/// ([`Tensor::copy`]) to keep their values.
#[derive(Debug)]
pub struct Moments {
    /// Running mean of the gradient.
    pub first: Tensor,
    /// Running mean of its square.
    pub second: Tensor,
}

impl Moments {
    /// Both zero, as before the first step.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn zeros(of: &Tensor) -> Result<Self> {
        Ok(Self { first: of.zeros_like()?.detach(), second: of.zeros_like()?.detach() })
    }
}

/// A parameter with its gradient and its moments, all of one shape.
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

    /// Whether all are of this type, and those changed in place contiguous.
    fn fits(&self, dtype: DType) -> bool {
        let all = self.tensors();
        all.iter().all(|t| t.dtype() == dtype) && [0, 2, 3].iter().all(|i| all[*i].is_contiguous())
    }
}

/// Hyperparameters of one Adam step.
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
    /// Step number, from 1, for the bias correction.
    pub step: u32,
    /// Weight decay, decoupled from the gradient (Loshchilov and Hutter; PyTorch's AdamW): the
    /// parameter shrinks by `rate · decay` of itself. 0 is Adam.
    pub decay: f64,
    /// Factor of the gradient: below 1 where gradient clipping shortens it. 1 changes no bit.
    pub scale: f64,
}

impl AdamStep {
    /// Bias correction: the learning rate divided by the first moment's, and the root of the second's.
    fn corrections(&self) -> [f64; 2] {
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        [self.rate / (1.0 - self.beta1.powi(power)), (1.0 - self.beta2.powi(power)).sqrt()]
    }

    /// Factor of the parameter after weight decay.
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

    /// Updates all parameters in place: on a GPU in one launch for f32 (multi-tensor), on the CPU in one
    /// pass over each for f32 and f64, elsewhere by [`AdamStep::plain`]; the arithmetic is the same.
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
