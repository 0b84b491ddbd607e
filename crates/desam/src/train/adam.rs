//! Adam, with its state in reach.

use candle_core::backprop::GradStore;
use candle_core::{Result, Var};
use desam_nn::ops::adam::AdamStep;
pub use desam_nn::ops::adam::Moments;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Adam's constants (PyTorch's defaults; the official program uses them with no weight decay).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

/// Adam (Kingma and Ba), in PyTorch's arithmetic.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    steps: u32,
    moments: BTreeMap<String, Moments>,
}

impl Adam {
    /// No step taken yet.
    pub fn new(config: AdamConfig) -> Self {
        Self { config, steps: 0, moments: BTreeMap::new() }
    }

    /// As it was after `steps` steps.
    pub fn restore(config: AdamConfig, steps: u32, moments: BTreeMap<String, Moments>) -> Self {
        Self { config, steps, moments }
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The moments by parameter; a parameter that never had a gradient has none.
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// One step at learning rate `rate`. Parameters without a gradient stay as they are.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn step(
        &mut self,
        vars: &BTreeMap<String, Var>,
        grads: &GradStore,
        rate: f64,
    ) -> Result<()> {
        self.steps += 1;
        let AdamConfig { beta1, beta2, epsilon } = self.config;
        let step = AdamStep { beta1, beta2, epsilon, rate, step: self.steps };
        for (name, var) in vars {
            let Some(grad) = grads.get(var.as_tensor()) else {
                continue;
            };
            if !self.moments.contains_key(name) {
                self.moments.insert(name.clone(), Moments::zeros(var)?);
            }
            if let Some(moments) = self.moments.get_mut(name) {
                step.apply(var, grad, moments)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    fn var(value: f32) -> Var {
        Var::from_tensor(&Tensor::new(&[value], &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn the_first_step_has_the_learning_rates_length() {
        // By hand: after one step both corrections cancel the decays, and the update is
        // rate · g / (|g| + 1e-8).
        let vars: BTreeMap<String, Var> = [("a".to_owned(), var(1.0))].into();
        let loss = (vars["a"].as_tensor() * 3.0).unwrap().sum_all().unwrap();
        let mut adam = Adam::new(AdamConfig::default());
        adam.step(&vars, &loss.backward().unwrap(), 0.01).unwrap();
        let value = vars["a"].as_tensor().to_vec1::<f32>().unwrap()[0];
        assert!((value - 0.99).abs() < 1e-6, "{value}");
    }

    #[test]
    fn restored_it_goes_on_with_the_same_bits() {
        let vars: BTreeMap<String, Var> = [("a".to_owned(), var(5.0))].into();
        let step = |adam: &mut Adam| {
            let loss = (vars["a"].as_tensor() - 1.0).unwrap().sqr().unwrap().sum_all().unwrap();
            adam.step(&vars, &loss.backward().unwrap(), 0.05).unwrap();
            vars["a"].as_tensor().to_vec1::<f32>().unwrap()[0].to_bits()
        };
        let mut adam = Adam::new(AdamConfig::default());
        step(&mut adam);
        let kept = vars["a"].as_tensor().copy().unwrap();
        let copied = |(name, m): (&String, &Moments)| {
            let (first, second) = (m.first.copy().unwrap(), m.second.copy().unwrap());
            (name.clone(), Moments { first, second })
        };
        let moments = adam.moments().iter().map(copied).collect();
        let mut restored = Adam::restore(AdamConfig::default(), adam.steps(), moments);
        let expected = [step(&mut adam), step(&mut adam)];
        vars["a"].set(&kept).unwrap();
        assert_eq!([step(&mut restored), step(&mut restored)], expected);
        // A fresh one, whose corrections start anew, does not.
        vars["a"].set(&kept).unwrap();
        assert_ne!(step(&mut Adam::new(AdamConfig::default())), expected[0]);
    }

    #[test]
    fn it_finds_the_bottom_of_a_bowl_and_leaves_alone_what_has_no_gradient() {
        let vars: BTreeMap<String, Var> =
            [("a".to_owned(), var(5.0)), ("idle".to_owned(), var(2.0))].into();
        let mut adam = Adam::new(AdamConfig::default());
        for _ in 0..400 {
            let loss = (vars["a"].as_tensor() - 1.0).unwrap().sqr().unwrap().sum_all().unwrap();
            adam.step(&vars, &loss.backward().unwrap(), 0.05).unwrap();
        }
        let value = |name: &str| vars[name].as_tensor().to_vec1::<f32>().unwrap()[0];
        assert!((value("a") - 1.0).abs() < 0.01, "{}", value("a"));
        assert_eq!(value("idle"), 2.0);
        assert!(!adam.moments().contains_key("idle"));
        assert_eq!(adam.steps(), 400);
    }
}
