//! Adam's step of one parameter, with decoupled weight decay, and the length of gradients.

mod cpu;
mod norm;

pub use norm::square_sum;

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

    /// Changes `var` and its `moments` by the gradient `grad`, all of one shape: in one walk in
    /// place for f32 and f64 on the CPU, by [`AdamStep::plain`] elsewhere, in the same arithmetic.
    ///
    /// # Errors
    /// When shapes, types or devices differ or a tensor operation fails.
    pub fn apply(&self, var: &Var, grad: &Tensor, moments: &mut Moments) -> Result<()> {
        let all = [var.as_tensor(), grad, &moments.first, &moments.second];
        if all.iter().any(|t| t.shape() != var.shape()) {
            let dims = all.map(|t| t.shape().clone());
            candle_core::bail!("Adam: parameter, gradient and moments differ: {dims:?}");
        }
        let fits = |dtype| {
            all.iter().all(|t| t.device().is_cpu() && t.dtype() == dtype)
                && [0, 2, 3].iter().all(|i| all[*i].is_contiguous())
        };
        if fits(DType::F32) {
            cpu::apply::<f32>(self, var, &grad.contiguous()?, moments)
        } else if fits(DType::F64) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{max_diff, random};

    fn step(step: u32) -> AdamStep {
        AdamStep {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            rate: 1e-3,
            step,
            decay: 0.0,
            scale: 1.0,
        }
    }

    /// The same with decay and a scaled gradient.
    fn tuned(number: u32) -> AdamStep {
        AdamStep { decay: 0.3, scale: 1.0 / f64::from(number + 1), ..step(number) }
    }

    type Way<'a> = &'a dyn Fn(u32, &Var, &Tensor, &mut Moments) -> Result<()>;

    /// Five steps with changing gradients: parameter and moments.
    fn run(start: &Tensor, grads: impl Fn(u32) -> Tensor, way: Way<'_>) -> [Tensor; 3] {
        let var = Var::from_tensor(start).unwrap();
        let mut moments = Moments::zeros(&var).unwrap();
        for i in 1..6 {
            way(i, &var, &grads(i), &mut moments).unwrap();
        }
        [var.into_inner(), moments.first, moments.second]
    }

    #[test]
    fn one_walk_is_the_elementary_ops_bit_for_bit() {
        for dtype in [DType::F32, DType::F64] {
            for shape in [&[1usize][..], &[0, 3], &[7, 5], &[3, 8192], &[2, 3, 5, 1001]] {
                let start = random(1, shape).to_dtype(dtype).unwrap();
                let grads = |i: u32| {
                    let g = random(u64::from(i) + 1, shape).to_dtype(dtype).unwrap();
                    (g * 10f64.powi(-(i as i32))).unwrap()
                };
                for constants in [step, tuned] {
                    let ours = run(&start, grads, &|i, v, g, m| constants(i).apply(v, g, m));
                    let plain = run(&start, grads, &|i, v, g, m| constants(i).plain(v, g, m));
                    for (a, b) in ours.iter().zip(&plain) {
                        assert_eq!(max_diff(a, b), 0.0, "{dtype:?} {shape:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn takes_a_turned_gradient_and_refuses_another_shape() {
        let start = random(1, &[4, 6]);
        let turned = |i: u32| random(u64::from(i), &[6, 4]).t().unwrap();
        let plain = |i: u32| turned(i).contiguous().unwrap();
        let a = run(&start, turned, &|i, v, g, m| step(i).apply(v, g, m));
        let b = run(&start, plain, &|i, v, g, m| step(i).plain(v, g, m));
        assert!(a.iter().zip(&b).all(|(a, b)| max_diff(a, b) == 0.0));
        let var = Var::from_tensor(&start).unwrap();
        let mut moments = Moments::zeros(&var).unwrap();
        assert!(step(1).apply(&var, &random(1, &[6, 4]), &mut moments).is_err());
        assert_eq!(max_diff(&moments.first, &var.zeros_like().unwrap()), 0.0);
    }

    #[test]
    fn the_bits_do_not_depend_on_the_threads() {
        let start = random(1, &[70_001]).to_dtype(DType::F32).unwrap();
        let grads = |i: u32| random(u64::from(i), &[70_001]).to_dtype(DType::F32).unwrap();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let all = pool.install(|| run(&start, grads, &|i, v, g, m| tuned(i).apply(v, g, m)));
            all.map(|t| t.to_vec1::<f32>().unwrap())
        };
        let one = on(1);
        assert!(one == on(2) && one == on(7));
    }
}
