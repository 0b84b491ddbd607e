//! The training loop.

use super::batch::{Prompted, Purpose, order, stream};
use super::ema::Average;
use super::observer::{After, Observer, StepRecord};
use super::state::Position;
use super::step::computable;
use super::validate::{Validation, validate};
use super::{Adam, BestBy, EpochRecord, TrainConfig};
use crate::prefetch::{prefetch, read_batch};
use crate::{Error, Result};
use candle_core::Device;
use desam::model::Trainable;
use desam_core::{Dataset, Loss, Progress, PromptSampler};
use desam_data::cache::CachedSlice;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Slices with features, prompts to be drawn.
pub type Slices<'a> = dyn Dataset<Item = CachedSlice> + 'a;

/// Trains a decoder on cached slices. [`super::train`] is the whole job from a cache to a run
/// directory; this is its loop, for those who bring a sampler, a loss or slices of their own.
pub struct Trainer<'a> {
    pub(super) model: &'a Trainable,
    pub(super) config: &'a TrainConfig,
    pub(super) sampler: Arc<dyn PromptSampler>,
    pub(super) loss: Box<dyn Loss>,
    pub(super) device: Device,
    pub(super) ahead: usize,
    pub(super) adam: Adam,
    pub(super) average: Option<Average>,
    pub(super) position: Position,
}

impl std::fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("config", self.config).finish_non_exhaustive()
    }
}

impl<'a> Trainer<'a> {
    /// With the sampler and the loss that `config` names.
    ///
    /// # Errors
    /// When the configuration cannot be run, on the model's device or at all.
    pub fn new(model: &'a Trainable, config: &'a TrainConfig) -> Result<Self> {
        config.validate()?;
        computable(config.precision, model.device())?;
        let average = config.ema.map(|decay| Average::new(decay, &model.decoder.vars));
        Ok(Self {
            model,
            config,
            sampler: Arc::from(config.sampler()),
            loss: Box::new(config.loss.build()?),
            device: model.device().clone(),
            ahead: 0,
            adam: Adam::new(config.adam),
            average: average.transpose()?,
            position: Position::default(),
        })
    }

    /// The same with another sampler.
    #[must_use]
    pub fn with_sampler(mut self, sampler: Box<dyn PromptSampler>) -> Self {
        self.sampler = Arc::from(sampler);
        self
    }

    /// The same with another loss.
    #[must_use]
    pub fn with_loss(mut self, loss: Box<dyn Loss>) -> Self {
        self.loss = loss;
        self
    }

    /// The same with up to `batches` batches being read ahead of the step that computes, by threads of
    /// its own, the slices of a batch at once. For slices that are only read: where an encoder runs for
    /// them, it would run beside the step. No bit of what is trained changes.
    #[must_use]
    pub fn reading_ahead(mut self, batches: usize) -> Self {
        self.ahead = batches;
        self
    }

    /// Where the training stands.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Steps that the optimiser has taken.
    pub fn steps(&self) -> u32 {
        self.adam.steps()
    }

    /// Runs the epochs that are left; `after` is called with each epoch's record, in which `best`
    /// says whether the model is now better than ever: the moment to save it. (Where a running mean
    /// of the parameters is kept, what was validated is the mean; [`fit_observed`](Self::fit_observed)
    /// hands out the trainer and with it [`parameters`](Self::parameters).)
    ///
    /// # Errors
    /// When a slice cannot be read, the loss stops being a number, or `after` fails.
    pub fn fit(
        &mut self,
        train: &Slices<'_>,
        validation: &Slices<'_>,
        progress: &dyn Progress,
        after: impl FnMut(&EpochRecord) -> Result<()>,
    ) -> Result<Vec<EpochRecord>> {
        self.fit_observed(train, validation, progress, &mut After(after))
    }

    /// The same, telling `observer` of each step and epoch.
    ///
    /// # Errors
    /// When a slice cannot be read, the loss stops being a number, or `observer` fails.
    pub fn fit_observed(
        &mut self,
        train: &Slices<'_>,
        validation: &Slices<'_>,
        progress: &dyn Progress,
        observer: &mut dyn Observer,
    ) -> Result<Vec<EpochRecord>> {
        if train.is_empty() || validation.is_empty() {
            let reason = "training and validation each need at least one slice with ground truth";
            return Err(Error::Invalid(reason.into()));
        }
        let steps = train.len().div_ceil(self.config.batch);
        let done = self.position.epoch * steps + self.position.step;
        progress.begin("training", (steps * self.config.epochs).saturating_sub(done) as u64);
        while self.position.epoch < self.config.epochs {
            self.epoch(train, progress, observer)?;
            let scores = self.averaged(|| validate(self, validation))?;
            // The last step may have broken what its own loss was still computed with.
            self.finite(scores.losses.mean_total())?;
            let record = self.record(&scores);
            self.position.complete(record);
            observer.epoch(self, &record)?;
        }
        let summary = self.position.best().map_or_else(String::new, |r| {
            format!("best epoch {}: validation Dice {:.4}", r.epoch, r.validation_dice)
        });
        progress.finish(&summary);
        Ok(self.position.history.clone())
    }

    /// What the epoch in progress has come to.
    fn record(&self, scores: &Validation) -> EpochRecord {
        let Position { epoch, losses, history, .. } = &self.position;
        let mut record = EpochRecord {
            epoch: epoch + 1,
            learning_rate: self.config.learning_rate_at(*epoch),
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

    /// The steps that are left of the epoch in progress.
    fn epoch(
        &mut self,
        slices: &Slices<'_>,
        progress: &dyn Progress,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let (epoch, epochs, seed) = (self.position.epoch, self.config.epochs, self.config.seed);
        let rate = self.config.learning_rate_at(epoch);
        let last = self.position.history.last();
        let dice = last.map_or_else(String::new, |r| format!(", Dice {:.3}", r.validation_dice));
        let order = order(slices.len(), seed, epoch);
        let left: Vec<&[usize]> =
            order.chunks(self.config.batch).skip(self.position.step).collect();
        let prompted = self.prompting();
        let drawn = |index: usize| {
            let mut changes = stream(seed, Purpose::Augment, epoch, index);
            let slice = slices.draw(index, &mut changes)?;
            prompted(slice, stream(seed, Purpose::Prompt, epoch, index))
        };
        let ahead = self.ahead;
        let read = |n: usize| read_batch(left[n], ahead > 0, drawn);
        prefetch(left.len(), ahead, read, |items: Vec<Prompted>| {
            let (value, gradient_norm) = self.step(&self.batch(&items)?, rate)?;
            let loss = f64::from(value.total.to_scalar::<f32>()?);
            self.position.step += 1;
            self.finite(loss)?;
            self.position.losses.add(&value, items.len())?;
            observer.step(self, &StepRecord { loss, learning_rate: rate, gradient_norm })?;
            let mean = self.position.losses.mean_total();
            progress.advance(1, &format!("epoch {}/{epochs}, loss {mean:.4}{dice}", epoch + 1));
            Ok(())
        })
    }

    /// Refuses a loss that is no number, after the step that is done last.
    fn finite(&self, loss: f64) -> Result<()> {
        let Position { epoch, step, .. } = self.position;
        match loss.is_finite() {
            true => Ok(()),
            false => Err(Error::NotFinite { loss, epoch: epoch + 1, step }),
        }
    }

    /// Draws prompts for slices.
    pub(super) fn prompting(
        &self,
    ) -> impl Fn(CachedSlice, ChaCha8Rng) -> Result<Prompted> + Sync + use<'a> {
        let (sampler, spec) = (Arc::clone(&self.sampler), &self.model.record.spec);
        move |slice, rng| Prompted::draw(slice, sampler.as_ref(), spec, rng)
    }
}
