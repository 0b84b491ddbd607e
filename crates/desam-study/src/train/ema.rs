//! The running mean of the parameters.

use super::trainer::Trainer;
use crate::{Error, Result};
use candle_core::Var;
use desam_nn::ops::adam::{Following, follow_all};
use desam_nn::params::Tensors;
use std::collections::BTreeMap;

/// An exponential moving average of the parameters, which validation and the saved model take in
/// place of the last step's (Polyak averaging).
///
/// After step `n` the decay is `min(decay, (1 + n) / (10 + n))`, as TensorFlow's
/// `ExponentialMovingAverage` has it when it is told the number of steps: so that the start is soon
/// forgotten.
#[derive(Debug)]
pub(super) struct Average {
    decay: f64,
    pub(super) tensors: Tensors,
}

impl Average {
    /// Of parameters before their first step.
    pub(super) fn new(decay: f64, vars: &BTreeMap<String, Var>) -> Result<Self> {
        Ok(Self { decay, tensors: copies(vars)? })
    }

    /// As it was.
    pub(super) fn restore(decay: f64, tensors: Tensors) -> Self {
        Self { decay, tensors }
    }

    /// Takes in the parameters after step `steps`. What did not change stays the same to the bit.
    pub(super) fn update(&mut self, vars: &BTreeMap<String, Var>, steps: u32) -> Result<()> {
        let n = f64::from(steps);
        let rest = 1.0 - self.decay.min((1.0 + n) / (10.0 + n));
        let following = self.tensors.iter_mut().map(|(name, mean)| match vars.get(name) {
            Some(var) => Ok(Following { mean, value: var.as_tensor() }),
            None => Err(Error::Invalid(format!("the mean of {name} has no parameter"))),
        });
        Ok(follow_all(&mut following.collect::<Result<Vec<_>>>()?, rest)?)
    }
}

impl Trainer<'_> {
    /// Does `work` with the model's parameters being their running mean, where one is kept.
    pub(super) fn averaged<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(average) = &self.average else {
            return work();
        };
        let vars = &self.model.decoder.vars;
        let kept = copies(vars)?;
        set(vars, &average.tensors)?;
        let done = work();
        set(vars, &kept)?;
        done
    }
}

fn copies(vars: &BTreeMap<String, Var>) -> Result<Tensors> {
    let each = vars.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().detach().copy()?)));
    each.collect()
}

fn set(vars: &BTreeMap<String, Var>, values: &Tensors) -> Result<()> {
    for (name, value) in values {
        if let Some(var) = vars.get(name) {
            var.set(value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    #[test]
    fn it_follows_at_the_decay_that_the_steps_allow() {
        let tensor = |v: f32| Tensor::new(&[v, 0.1], &Device::Cpu).unwrap();
        let vars: BTreeMap<String, Var> =
            [("a".to_owned(), Var::from_tensor(&tensor(0.0)).unwrap())].into();
        let mut average = Average::new(0.25, &vars).unwrap();
        vars["a"].set(&tensor(1.0)).unwrap();
        let value = |a: &Average| a.tensors["a"].to_vec1::<f32>().unwrap();
        // By hand: after step 1 the decay is 2/11, after step 2 it is 3/12, from then on 0.25.
        let mut expected = 0.0f64;
        for (step, decay) in [(1, 2.0 / 11.0), (2, 0.25), (3, 0.25)] {
            average.update(&vars, step).unwrap();
            expected = decay * expected + (1.0 - decay);
            assert!((f64::from(value(&average)[0]) - expected).abs() < 1e-6);
            assert_eq!(value(&average)[1], 0.1, "what stands still has moved");
        }
        // The variables are their own, the mean is another's.
        assert_eq!(vars["a"].as_tensor().to_vec1::<f32>().unwrap()[0], 1.0);
    }
}
