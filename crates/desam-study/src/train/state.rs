//! Training state: progress, parameters, optimizer moments and the moving average, to the bit.

use super::optim::ParameterAverage;
use super::{Adam, EpochRecord, Moments, Trainer};
use crate::{Error, Result};
use desam_core::LossValue;
use desam_nn::params::Tensors;
use std::collections::BTreeMap;

/// Sums of an epoch's losses, weighted by slices.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct LossSums {
    pub(super) total: f64,
    pub(super) dice: f64,
    pub(super) slices: usize,
}

impl LossSums {
    pub(super) fn add(&mut self, value: &LossValue, slices: usize) -> Result<()> {
        self.total += f64::from(value.total.to_scalar::<f32>()?) * slices as f64;
        if let Some(dice) = value.terms.iter().find(|t| t.name == "dice") {
            self.dice += f64::from(dice.value.to_scalar::<f32>()?) * slices as f64;
        }
        self.slices += slices;
        Ok(())
    }

    pub(super) fn mean_total(&self) -> f64 {
        self.total / self.slices.max(1) as f64
    }

    pub(super) fn mean_dice(&self) -> f64 {
        self.dice / self.slices.max(1) as f64
    }
}

/// Training progress: epochs and steps done, loss sums, history.
///
/// It is also the state of all random numbers: the order of slices and every prompt are drawn from
/// streams keyed by (seed, purpose, epoch, slice), so no generator state has to be stored.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct TrainProgress {
    /// Epochs done, validation included.
    pub epoch: usize,
    /// Steps done of the epoch in progress.
    pub step: usize,
    /// Losses of those steps.
    pub(super) losses: LossSums,
    /// A row for each epoch done.
    pub(super) history: Vec<EpochRecord>,
}

impl TrainProgress {
    /// One record for each epoch done.
    pub fn history(&self) -> &[EpochRecord] {
        &self.history
    }

    /// The best epoch so far.
    pub fn best(&self) -> Option<&EpochRecord> {
        self.history.iter().rfind(|row| row.best)
    }

    /// Epochs done or in progress.
    pub(super) fn epochs_started(&self) -> usize {
        self.epoch + usize::from(self.step > 0)
    }

    /// Ends the epoch in progress with its `record`.
    pub(super) fn complete_epoch(&mut self, record: EpochRecord) {
        self.history.push(record);
        self.epoch += 1;
        (self.step, self.losses) = (0, LossSums::default());
    }
}

/// State of a training: everything the next step depends on besides the configuration and the
/// slices. Checkpoints store it.
///
/// Its tensors are the trainer's own storage, which the next step overwrites: write or copy them
/// before that.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainState {
    /// Epochs and steps done, history.
    pub progress: TrainProgress,
    /// Optimizer steps taken.
    pub steps: u32,
    /// Parameters as `model.*`, Adam's moments as `adam.first.*` and `adam.second.*`, and, where it is
    /// kept, the exponential moving average of the parameters as `ema.*`.
    pub tensors: Tensors,
}

impl TrainState {
    /// The tensors whose names start with `prefix`, without it.
    fn part(&self, prefix: &str) -> Tensors {
        let named =
            self.tensors.iter().filter_map(|(name, t)| Some((name.strip_prefix(prefix)?, t)));
        named.map(|(name, t)| (name.to_owned(), t.clone())).collect()
    }
}

/// The parameters for which a [`TrainState`] must hold a tensor.
#[derive(Clone, Copy, PartialEq)]
enum Coverage {
    All,
    Some,
}

impl Trainer<'_> {
    /// The current state.
    pub fn state(&self) -> TrainState {
        let vars = self.model.vars.iter();
        let model = vars.map(|(name, var)| (format!("model.{name}"), var.as_tensor().clone()));
        let moments = self.adam.moments().iter().flat_map(|(name, m)| {
            let (first, second) = (format!("adam.first.{name}"), format!("adam.second.{name}"));
            [(first, m.first.clone()), (second, m.second.clone())]
        });
        let means = self.average.iter().flat_map(|average| &average.tensors);
        let means = means.map(|(name, mean)| (format!("ema.{name}"), mean.clone()));
        let tensors = model.chain(moments).chain(means).collect();
        TrainState { progress: self.progress.clone(), steps: self.steps(), tensors }
    }

    /// The parameters to validate and save: their moving average, where it is kept.
    pub fn parameters(&self) -> Tensors {
        let vars = self.model.vars.iter();
        match &self.average {
            Some(average) => average.tensors.clone(),
            None => vars.map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect(),
        }
    }

    /// Restores a state of a training with the same configuration.
    ///
    /// # Errors
    /// When the state belongs to another model; the trainer is then unchanged.
    pub fn restore(&mut self, state: &TrainState) -> Result<()> {
        let vars = self.model.vars;
        let parameters = self.matching(state, "model.", Coverage::All)?;
        let mut second = self.matching(state, "adam.second.", Coverage::Some)?;
        let mut moments = BTreeMap::new();
        for (name, first) in self.matching(state, "adam.first.", Coverage::Some)? {
            let Some(second) = second.remove(&name) else {
                return Err(Error::Invalid(format!("no second moment of {name} was kept")));
            };
            moments.insert(name, Moments { first, second });
        }
        let average = self.config.ema.map(|decay| {
            let means = self.matching(state, "ema.", Coverage::All)?;
            Ok::<_, Error>(ParameterAverage::restore(decay, means))
        });
        self.average = average.transpose()?;
        for (name, value) in &parameters {
            vars[name].set(value)?;
        }
        self.adam = Adam::restore(self.config.adam, state.steps, moments);
        self.progress = state.progress.clone();
        Ok(())
    }

    /// Copies of the state's tensors below `prefix`, checked against the parameters' names and shapes.
    fn matching(&self, state: &TrainState, prefix: &str, coverage: Coverage) -> Result<Tensors> {
        let vars = self.model.vars;
        let mut part = state.part(prefix);
        let all = coverage == Coverage::All;
        if let Some(name) = vars.keys().find(|name| all && !part.contains_key(*name)) {
            return Err(Error::Invalid(format!("{prefix}{name} was not kept")));
        }
        for (name, tensor) in &mut part {
            let expected = vars.get(name).map(|var| var.dims());
            if expected != Some(tensor.dims()) {
                let found = tensor.dims();
                let reason = format!("{prefix}{name} is {found:?}; the model has {expected:?}");
                return Err(Error::Invalid(reason));
            }
            *tensor = tensor.to_device(&self.device)?.copy()?;
        }
        Ok(part)
    }
}
