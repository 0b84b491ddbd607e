//! Optimizer of a SAM with adapters: AdamW with warm-up and polynomial decay.

use super::{Adam, AdamConfig, WarmupPoly};
use crate::{Error, Result};
use candle_core::{DType, Tensor, Var};
use desam_nn::gradients::backward;
use std::collections::BTreeMap;

/// Weight decay of DAPSAM and SAMed, on everything that is trained: biases, tokens and memory too.
const WEIGHT_DECAY: f64 = 0.1;

/// Optimizer of an [`AdaptedSam`](desam::adapted::AdaptedSam), as the official programs of DAPSAM and
/// SAMed have it: AdamW with weight decay 0.1 at the rates of a [`WarmupPoly`], without gradient
/// clipping.
///
/// # Examples
/// ```
/// use desam::adapted::{AdaptedOptions, AdaptedSam, LoraStart};
/// use desam::candle::{DType, Device, Tensor};
/// use desam::encoder::{FrozenSam, VitConfig};
/// use desam::metrics::loss::softmax_ce_dice;
/// use desam_study::train::{AdapterOptimizer, WarmupPoly};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let vit = VitConfig { input_side: 64, depth: 2, global_blocks: vec![1], ..VitConfig::tiny() };
/// # let mut sam = FrozenSam::random(&vit, 3)?.tensors;
/// # let sizes = desam::decoder::ClassDecoderConfig::sam(64, 4);
/// # let seeded = desam::nn::params::LoadOptions::seeded(3);
/// # sam.extend(desam::nn::params::load(Default::default(), &seeded, |vb| sizes.build(vb))?.tensors);
/// // `sam`: the tensors of a SAM. Updates of rank 4 for one class and the background.
/// let sizes = LoraStart { classes: 1, rank: 4 };
/// let options = AdaptedOptions::default().trainable(true);
/// let start = AdaptedSam::lora_from_sam(&sam, sizes, 7, &options)?;
/// let mut optimizer = AdapterOptimizer::new(WarmupPoly { warmup: 1, ..WarmupPoly::dapsam(100) });
///
/// let pixels = Tensor::full(0.5f32, (1, 3, 64, 64), &Device::Cpu)?;
/// // SAMed's loss is of the low-resolution masks, of four times the grid's side.
/// let labels = Tensor::zeros((1, 16, 16), DType::U8, &Device::Cpu)?;
/// let mut losses = Vec::new();
/// for _ in 0..3 {
///     let masks = start.model.forward(&pixels)?.masks;
///     let loss = softmax_ce_dice(&masks.logits, &labels)?.total;
///     losses.push(loss.to_scalar::<f32>()?);
///     optimizer.step(&start.vars, &loss)?;
/// }
/// assert!(losses[2] < losses[0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AdapterOptimizer {
    adam: Adam,
    schedule: WarmupPoly,
}

impl AdapterOptimizer {
    /// An optimizer before its first step.
    pub fn new(schedule: WarmupPoly) -> Self {
        let config = AdamConfig { weight_decay: WEIGHT_DECAY, ..AdamConfig::default() };
        Self { adam: Adam::new(config), schedule }
    }

    /// Rate of the next step.
    pub fn rate(&self) -> f64 {
        self.schedule.rate(self.adam.steps())
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.adam.steps()
    }

    /// One step down the gradient of `loss`, a scalar, for `vars`. Those without a gradient are
    /// unchanged, also by weight decay. Returns the rate.
    ///
    /// # Errors
    /// When the loss is NaN or infinite, which leaves the parameters unchanged, or a tensor operation
    /// fails.
    pub fn step(&mut self, vars: &BTreeMap<String, Var>, loss: &Tensor) -> Result<f64> {
        let rate = self.rate();
        let grads = backward(loss)?;
        let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !value.is_finite() {
            let step = self.adam.steps() + 1;
            return Err(Error::Invalid(format!("the loss of step {step} is {value}")));
        }
        self.adam.step(vars, &grads, rate)?;
        Ok(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn decay_is_decoupled_and_a_loss_that_is_not_finite_changes_nothing() {
        let var =
            |value: f64| Var::from_tensor(&Tensor::new(value, &Device::Cpu).unwrap()).unwrap();
        let vars = BTreeMap::from([("used".to_owned(), var(2.0)), ("idle".to_owned(), var(3.0))]);
        let schedule = WarmupPoly { base: 0.5, warmup: 2, steps: 10, power: 0.9 };
        let mut optimizer = AdapterOptimizer::new(schedule);
        let value = |name: &str| vars[name].to_scalar::<f64>().unwrap();
        // The rate of step 0 is 0.25, and Adam's first step is as long as the rate: by hand
        // 2 · (1 − 0.25 · 0.1) − 0.25.
        let loss = (vars["used"].as_tensor() * 3.0).unwrap();
        assert_eq!(optimizer.step(&vars, &loss).unwrap(), 0.25);
        assert!((value("used") - 1.7).abs() < 1e-7, "{}", value("used"));
        assert_eq!(value("idle"), 3.0);
        let infinite = (vars["used"].as_tensor() * f64::INFINITY).unwrap();
        let error = optimizer.step(&vars, &infinite).unwrap_err().to_string();
        assert!(error.contains("step 2") && error.contains("inf"), "{error}");
        assert!((value("used") - 1.7).abs() < 1e-7);
        assert_eq!(optimizer.steps(), 1);
    }
}
