//! The optimizer: Adam and AdamW, with access to their moments.

use candle_core::backprop::GradStore;
use candle_core::{Result, Var};
pub use desam_nn::ops::adam::Moments;
use desam_nn::ops::adam::{AdamStep, Parameter};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Adam's constants (PyTorch's defaults; the official program uses them with no weight decay).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamConfig {
    /// Exponential decay rate of the first moment.
    pub beta1: f64,
    /// Exponential decay rate of the second moment.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay: each step shrinks a parameter by the factor `1 - rate · weight_decay`
    /// (Loshchilov and Hutter's AdamW). 0 is Adam.
    #[serde(default)]
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// Adam optimizer (Kingma and Ba), in PyTorch's arithmetic.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    steps: u32,
    moments: BTreeMap<String, Moments>,
}

impl Adam {
    /// An optimizer before its first step.
    pub fn new(config: AdamConfig) -> Self {
        Self { config, steps: 0, moments: BTreeMap::new() }
    }

    /// An optimizer restored to its state after `steps` steps.
    pub fn restore(config: AdamConfig, steps: u32, moments: BTreeMap<String, Moments>) -> Self {
        Self { config, steps, moments }
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The moments by parameter name; a parameter that never had a gradient has none.
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// One optimizer step at learning rate `rate`. Parameters without a gradient are unchanged.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn step(
        &mut self,
        vars: &BTreeMap<String, Var>,
        grads: &GradStore,
        rate: f64,
    ) -> Result<()> {
        self.step_scaled(vars, grads, rate, 1.0)
    }

    /// One optimizer step at learning rate `rate` with every gradient multiplied by `scale`, the factor
    /// of gradient clipping.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn step_scaled(
        &mut self,
        vars: &BTreeMap<String, Var>,
        grads: &GradStore,
        rate: f64,
        scale: f64,
    ) -> Result<()> {
        self.steps += 1;
        let AdamConfig { beta1, beta2, epsilon, weight_decay: decay } = self.config;
        let step = AdamStep { beta1, beta2, epsilon, rate, step: self.steps, decay, scale };
        for (name, var) in vars {
            if grads.get(var.as_tensor()).is_some() && !self.moments.contains_key(name) {
                self.moments.insert(name.clone(), Moments::zeros(var)?);
            }
        }
        let known = self.moments.iter_mut().filter_map(|(name, moments)| {
            let var = vars.get(name)?;
            Some(Parameter { var, grad: grads.get(var.as_tensor())?, moments })
        });
        step.apply_all(&mut known.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{clip_scale, gradient_norm};
    use super::*;
    use candle_core::{Device, Tensor};

    fn var(value: f32) -> Var {
        Var::from_tensor(&Tensor::new(&[value], &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn the_first_step_is_as_long_as_the_learning_rate() {
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
    fn decay_and_clipping_are_pytorchs() {
        // torch 2.15, AdamW([p, q], lr=0.01, weight_decay=0.1) in f64, three steps i = 1, 2, 3 with
        // the gradients [0.3 i, -0.4, 0.1 i²] and [-1.2 / i], each after clip_grad_norm_(…, 1.0).
        let norms = [1.3038404810405297, 1.019803902718557, 1.3928388277184118];
        let expected =
            [0.968031128515281, -1.9641655371885247, 0.47101702518479716, 3.0194762180674504];
        let var =
            |values: &[f64]| Var::from_tensor(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap();
        let vars: BTreeMap<String, Var> =
            [("p".to_owned(), var(&[1.0, -2.0, 0.5])), ("q".to_owned(), var(&[3.0]))].into();
        let mut adam = Adam::new(AdamConfig { weight_decay: 0.1, ..AdamConfig::default() });
        for (i, norm) in [1.0, 2.0, 3.0].into_iter().zip(norms) {
            let given = Tensor::new(&[0.3 * i, -0.4, 0.1 * i * i], &Device::Cpu).unwrap();
            let p = (vars["p"].as_tensor() * given).unwrap().sum_all().unwrap();
            let q = (vars["q"].as_tensor() * (-1.2 / i)).unwrap().sum_all().unwrap();
            let grads = (p + q).unwrap().backward().unwrap();
            let found = gradient_norm(&vars, &grads).unwrap();
            assert!((found - norm).abs() < 1e-14, "{found}");
            let scale = clip_scale(1.0, found);
            adam.step_scaled(&vars, &grads, 0.01, scale).unwrap();
        }
        let values = |name: &str| vars[name].as_tensor().to_vec1::<f64>().unwrap();
        let found = [values("p"), values("q")].concat();
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14), "{found:?}");
        // Gradients below the limit are not clipped.
        assert_eq!(clip_scale(1.0, 0.5), 1.0);
    }

    #[test]
    fn a_restored_optimizer_continues_with_the_same_bits() {
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
        // A fresh one, whose bias corrections start over, does not.
        vars["a"].set(&kept).unwrap();
        assert_ne!(step(&mut Adam::new(AdamConfig::default())), expected[0]);
    }

    #[test]
    fn it_minimises_a_quadratic_and_skips_parameters_without_a_gradient() {
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
