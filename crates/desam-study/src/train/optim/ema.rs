//! Exponential moving average (EMA) of the parameters.

use crate::train::Trainer;
use crate::{Error, Result};
use candle_core::Var;
use desam_nn::ops::adam::{MovingAverage, follow_all};
use desam_nn::params::Tensors;
use std::collections::BTreeMap;

/// Exponential moving average of the parameters, which validation and the saved model use instead of
/// the last step's parameters (Polyak averaging).
///
/// After step `n` the decay is `min(decay, (1 + n) / (10 + n))`, as in TensorFlow's
/// `ExponentialMovingAverage` with `num_updates`, so that the initial parameters are soon forgotten.
#[derive(Debug)]
pub(in crate::train) struct ParameterAverage {
    decay: f64,
    pub(in crate::train) tensors: Tensors,
}

impl ParameterAverage {
    /// The average before the first step: the parameters themselves.
    pub(in crate::train) fn new(decay: f64, vars: &BTreeMap<String, Var>) -> Result<Self> {
        Ok(Self { decay, tensors: copies(vars)? })
    }

    /// A restored average.
    pub(in crate::train) fn restore(decay: f64, tensors: Tensors) -> Self {
        Self { decay, tensors }
    }

    /// Updates the average with the parameters after step `steps`. An unchanged parameter's average
    /// stays the same to the bit.
    pub(in crate::train) fn update(
        &mut self,
        vars: &BTreeMap<String, Var>,
        steps: u32,
    ) -> Result<()> {
        let n = f64::from(steps);
        let weight = 1.0 - self.decay.min((1.0 + n) / (10.0 + n));
        let following = self.tensors.iter_mut().map(|(name, mean)| match vars.get(name) {
            Some(var) => Ok(MovingAverage { mean, value: var.as_tensor() }),
            None => Err(Error::Invalid(format!("the mean of {name} has no parameter"))),
        });
        Ok(follow_all(&mut following.collect::<Result<Vec<_>>>()?, weight)?)
    }
}

impl Trainer<'_> {
    /// Runs `work` with the model's parameters replaced by their moving average, where it is kept.
    pub(in crate::train) fn with_averaged_parameters<T>(
        &self,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(average) = &self.average else {
            return work();
        };
        let vars = self.model.vars;
        let current = copies(vars)?;
        set(vars, &average.tensors)?;
        let result = work();
        set(vars, &current)?;
        result
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
    fn the_average_follows_at_the_decay_of_its_step() {
        let tensor = |v: f32| Tensor::new(&[v, 0.1], &Device::Cpu).unwrap();
        let vars: BTreeMap<String, Var> =
            [("a".to_owned(), Var::from_tensor(&tensor(0.0)).unwrap())].into();
        let mut average = ParameterAverage::new(0.25, &vars).unwrap();
        vars["a"].set(&tensor(1.0)).unwrap();
        let value = |a: &ParameterAverage| a.tensors["a"].to_vec1::<f32>().unwrap();
        // By hand: after step 1 the decay is 2/11, after step 2 it is 3/12, from then on 0.25.
        let mut expected = 0.0f64;
        for (step, decay) in [(1, 2.0 / 11.0), (2, 0.25), (3, 0.25)] {
            average.update(&vars, step).unwrap();
            expected = decay * expected + (1.0 - decay);
            assert!((f64::from(value(&average)[0]) - expected).abs() < 1e-6);
            assert_eq!(value(&average)[1], 0.1, "an unchanged parameter's average moved");
        }
        // The average does not alias the variables.
        assert_eq!(vars["a"].as_tensor().to_vec1::<f32>().unwrap()[0], 1.0);
    }
}
