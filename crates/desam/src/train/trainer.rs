//! The training loop.

use super::batch::{Batch, Prompted, Purpose, order, stream};
use super::validate::{Validation, validate};
use super::{Adam, BestBy, EpochRecord, TrainConfig};
use crate::model::Trainable;
use crate::{Error, Result};
use candle_core::Device;
use desam_core::{
    Dataset, Loss, LossValue, MaskDecoder, MaskPrediction, Progress, PromptEncoder, PromptSampler,
};
use desam_data::cache::CachedSlice;

/// Slices with features, prompts to be drawn.
pub type Slices<'a> = dyn Dataset<Item = CachedSlice> + 'a;

/// Trains a decoder on cached slices. [`super::train`] is the whole job from a cache to a run
/// directory; this is its loop, for those who bring a sampler, a loss or slices of their own.
pub struct Trainer<'a> {
    pub(super) model: &'a Trainable,
    pub(super) config: &'a TrainConfig,
    pub(super) sampler: Box<dyn PromptSampler>,
    pub(super) loss: Box<dyn Loss>,
    pub(super) device: Device,
    adam: Adam,
}

impl std::fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("config", self.config).finish_non_exhaustive()
    }
}

/// Sums of an epoch's losses, weighted by slices.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct LossSums {
    total: f64,
    dice: f64,
    slices: usize,
}

impl LossSums {
    pub(super) fn add(&mut self, value: &LossValue, slices: usize) -> Result<f64> {
        let total = f64::from(value.total.to_scalar::<f32>()?);
        self.total += total * slices as f64;
        if let Some(dice) = value.terms.iter().find(|t| t.name == "dice") {
            self.dice += f64::from(dice.value.to_scalar::<f32>()?) * slices as f64;
        }
        self.slices += slices;
        Ok(total)
    }

    pub(super) fn mean_total(&self) -> f64 {
        self.total / self.slices.max(1) as f64
    }

    pub(super) fn mean_dice(&self) -> f64 {
        self.dice / self.slices.max(1) as f64
    }
}

impl<'a> Trainer<'a> {
    /// With the sampler and the loss that `config` names.
    ///
    /// # Errors
    /// When the configuration cannot be run.
    pub fn new(model: &'a Trainable, config: &'a TrainConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            model,
            config,
            sampler: config.sampler(),
            loss: Box::new(config.loss.build()?),
            device: model.device().clone(),
            adam: Adam::new(config.adam),
        })
    }

    /// The same with another sampler.
    #[must_use]
    pub fn with_sampler(mut self, sampler: Box<dyn PromptSampler>) -> Self {
        self.sampler = sampler;
        self
    }

    /// The same with another loss.
    #[must_use]
    pub fn with_loss(mut self, loss: Box<dyn Loss>) -> Self {
        self.loss = loss;
        self
    }

    /// Runs all epochs; `after` is called with each epoch's record, in which `best` says whether
    /// the model is now better than ever: the moment to save it.
    ///
    /// # Errors
    /// When a slice cannot be read, the loss stops being a number, or `after` fails.
    pub fn fit(
        &mut self,
        train: &Slices<'_>,
        validation: &Slices<'_>,
        progress: &dyn Progress,
        mut after: impl FnMut(&EpochRecord) -> Result<()>,
    ) -> Result<Vec<EpochRecord>> {
        if train.is_empty() || validation.is_empty() {
            let reason = "training and validation each need at least one slice with ground truth";
            return Err(Error::Invalid(reason.into()));
        }
        let steps = train.len().div_ceil(self.config.batch);
        progress.begin("training", (steps * self.config.epochs) as u64);
        let mut history: Vec<EpochRecord> = Vec::with_capacity(self.config.epochs);
        for epoch in 0..self.config.epochs {
            let losses = self.epoch(epoch, train, progress, history.last())?;
            let scores = validate(self, validation)?;
            let record = self.record(epoch, &losses, &scores, &history);
            after(&record)?;
            history.push(record);
        }
        let best = history.iter().rfind(|r| r.best);
        let summary = best.map_or_else(String::new, |r| {
            format!("best epoch {}: validation Dice {:.4}", r.epoch, r.validation_dice)
        });
        progress.finish(&summary);
        Ok(history)
    }

    fn record(
        &self,
        epoch: usize,
        losses: &LossSums,
        scores: &Validation,
        history: &[EpochRecord],
    ) -> EpochRecord {
        let mut record = EpochRecord {
            epoch: epoch + 1,
            learning_rate: self.config.learning_rate_at(epoch),
            train_loss: losses.mean_total(),
            train_dice_loss: losses.mean_dice(),
            validation_loss: scores.losses.mean_total(),
            validation_dice_loss: scores.losses.mean_dice(),
            validation_dice: scores.dice,
            best: false,
        };
        let score = |r: &EpochRecord| match self.config.best_by {
            BestBy::Dice => r.validation_dice,
            BestBy::DiceLoss => -r.validation_dice_loss,
        };
        record.best = history.iter().all(|r| score(&record) > score(r));
        record
    }

    fn epoch(
        &mut self,
        epoch: usize,
        slices: &Slices<'_>,
        progress: &dyn Progress,
        last: Option<&EpochRecord>,
    ) -> Result<LossSums> {
        let rate = self.config.learning_rate_at(epoch);
        let dice = last.map_or_else(String::new, |r| format!(", Dice {:.3}", r.validation_dice));
        let mut sums = LossSums::default();
        let order = order(slices.len(), self.config.seed, epoch);
        for (step, chunk) in order.chunks(self.config.batch).enumerate() {
            let prompted = |&index: &usize| {
                self.prompted(
                    slices,
                    index,
                    stream(self.config.seed, Purpose::Prompt, epoch, index),
                )
            };
            let items = chunk.iter().map(prompted).collect::<Result<Vec<_>>>()?;
            let value = self.step(&Batch::new(&items, &self.device)?, rate)?;
            let loss = sums.add(&value, chunk.len())?;
            if !loss.is_finite() {
                return Err(Error::NotFinite { loss, epoch: epoch + 1, step: step + 1 });
            }
            let epochs = self.config.epochs;
            let mean = sums.mean_total();
            progress.advance(1, &format!("epoch {}/{epochs}, loss {mean:.4}{dice}", epoch + 1));
        }
        Ok(sums)
    }

    pub(super) fn prompted(
        &self,
        slices: &Slices<'_>,
        index: usize,
        rng: rand_chacha::ChaCha8Rng,
    ) -> Result<Prompted> {
        Prompted::draw(slices.get(index)?, self.sampler.as_ref(), &self.model.record.spec, rng)
    }

    /// Prediction and loss of a batch.
    pub(super) fn forward(&self, batch: &Batch) -> Result<(MaskPrediction, LossValue)> {
        let prompt = &self.model.prompt;
        let embedding = prompt.encode(&batch.prompts)?;
        let decoder = &self.model.decoder.module;
        let prediction = decoder.decode(&batch.features, prompt.dense_pe(), &embedding)?;
        let value = self.loss.forward(&prediction, &batch.target)?;
        Ok((prediction, value))
    }

    /// One step of Adam; a loss that is no number changes nothing.
    fn step(&mut self, batch: &Batch, rate: f64) -> Result<LossValue> {
        let (_, value) = self.forward(batch)?;
        if value.total.to_scalar::<f32>()?.is_finite() {
            let grads = value.total.backward()?;
            self.adam.step(&self.model.decoder.vars, &grads, rate)?;
        }
        Ok(value)
    }
}
