//! The training loop.

use super::batch::{PromptedSlice, read_batch};
use super::epoch_order::EpochOrder;
use super::observer::{EpochCallback, Observer, StepRecord};
use super::optim::ParameterAverage;
use super::parts::TrainableParts;
use super::rng::{RngPurpose, stream};
use super::state::TrainProgress;
use super::step::check_precision;
use super::validate::{Validation, validate};
use super::{Adam, BestBy, EpochRecord, TrainConfig};
use crate::{Error, Result};
use candle_core::Device;
use desam_core::pipeline::prefetch;
use desam_core::{Dataset, Loss, Progress, PromptSampler};
use desam_data::cache::CachedSlice;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// A data set of slices with features, for which prompts are drawn during training.
pub type SliceDataset<'a> = dyn Dataset<Item = CachedSlice> + 'a;

/// Training loop of a decoder on cached slices. [`super::train`] is the whole job from a cache to a run
/// directory; this is its loop, for callers with a foreign sampler, loss or data set.
pub struct Trainer<'a> {
    pub(super) model: TrainableParts<'a>,
    pub(super) config: &'a TrainConfig,
    pub(super) sampler: Arc<dyn PromptSampler>,
    pub(super) loss: Box<dyn Loss>,
    pub(super) device: Device,
    /// Batches to prefetch.
    pub(super) prefetch: usize,
    /// The slices of each epoch; `None`: every slice once.
    order: Option<EpochOrder>,
    pub(super) adam: Adam,
    /// Exponential moving average of the parameters, where the configuration keeps one.
    pub(super) average: Option<ParameterAverage>,
    pub(super) progress: TrainProgress,
}

/// A slice of a batch in one of its views, by the random stream that draws the view.
#[derive(Debug, Clone, Copy)]
struct SliceView {
    index: usize,
    purpose: RngPurpose,
}

impl SliceView {
    /// The items of a batch: all slices in the first view, then in the second where there are two.
    fn of(slices: &[usize], views: usize) -> Vec<Self> {
        let purposes = [RngPurpose::Augment, RngPurpose::SecondView].into_iter().take(views);
        let view = |purpose| slices.iter().map(move |&index| Self { index, purpose });
        purposes.flat_map(view).collect()
    }
}

/// Both sides of a split, and the slices of each epoch.
struct TrainingData<'a> {
    train: &'a SliceDataset<'a>,
    order: EpochOrder,
    validation: &'a SliceDataset<'a>,
}

impl std::fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("config", self.config).finish_non_exhaustive()
    }
}

impl<'a> Trainer<'a> {
    /// A trainer of a [`Trainable`](desam::model::Trainable), or of other [`TrainableParts`], with the
    /// sampler and the loss that `config` names.
    ///
    /// # Errors
    /// When the configuration is invalid, or cannot run on the model's device.
    pub fn new(model: impl Into<TrainableParts<'a>>, config: &'a TrainConfig) -> Result<Self> {
        let model = model.into();
        config.validate()?;
        check_precision(config.precision, model.device)?;
        let average = config.ema.map(|decay| ParameterAverage::new(decay, model.vars));
        Ok(Self {
            model,
            config,
            sampler: Arc::from(config.sampler()),
            loss: Box::new(config.loss.build()?),
            device: model.device.clone(),
            prefetch: 0,
            order: None,
            adam: Adam::new(config.adam),
            average: average.transpose()?,
            progress: TrainProgress::default(),
        })
    }

    /// Replaces the prompt sampler.
    #[must_use]
    pub fn with_sampler(mut self, sampler: Box<dyn PromptSampler>) -> Self {
        self.sampler = Arc::from(sampler);
        self
    }

    /// Replaces the loss.
    #[must_use]
    pub fn with_loss(mut self, loss: Box<dyn Loss>) -> Self {
        self.loss = loss;
        self
    }

    /// Prefetches up to `batches` batches on background threads while a step computes, reading the
    /// slices of a batch in parallel. Meant for slices that are only read: an encoder that runs for
    /// them would compete with the step. It changes no bit of the result.
    #[must_use]
    pub fn with_prefetch(mut self, batches: usize) -> Self {
        self.prefetch = batches;
        self
    }

    /// Replaces the order of slices, which must be one of the training set's.
    #[must_use]
    pub(super) fn with_order(mut self, order: EpochOrder) -> Self {
        self.order = Some(order);
        self
    }

    /// Epochs and steps done.
    pub fn progress(&self) -> &TrainProgress {
        &self.progress
    }

    /// Optimizer steps taken.
    pub fn steps(&self) -> u32 {
        self.adam.steps()
    }

    /// Runs the remaining epochs. `after_epoch` is called with each epoch's record, whose `best` says
    /// that the model is the best so far and should be saved. With an exponential moving average, the
    /// average is what was validated; [`fit_observed`](Self::fit_observed) gives access to the trainer
    /// and thus to [`parameters`](Self::parameters).
    ///
    /// # Errors
    /// When a slice cannot be read, the loss becomes NaN or infinite, or `after_epoch` fails.
    pub fn fit(
        &mut self,
        train: &SliceDataset<'_>,
        validation: &SliceDataset<'_>,
        progress: &dyn Progress,
        after_epoch: impl FnMut(&EpochRecord) -> Result<()>,
    ) -> Result<Vec<EpochRecord>> {
        self.fit_observed(train, validation, progress, &mut EpochCallback(after_epoch))
    }

    /// Runs the remaining epochs and calls `observer` after each step and epoch.
    ///
    /// # Errors
    /// When a slice cannot be read, the loss becomes NaN or infinite, or `observer` fails;
    /// [`desam::Error::Cancelled`] after the step during which `progress` was cancelled.
    pub fn fit_observed(
        &mut self,
        train: &SliceDataset<'_>,
        validation: &SliceDataset<'_>,
        progress: &dyn Progress,
        observer: &mut dyn Observer,
    ) -> Result<Vec<EpochRecord>> {
        if train.is_empty() || validation.is_empty() {
            let reason = "training and validation each need at least one slice with ground truth";
            return Err(Error::Invalid(reason.into()));
        }
        let order = self.order.clone().unwrap_or_else(|| EpochOrder::every(train.len()));
        let steps = order.len().div_ceil(self.config.batch);
        let done = self.progress.epoch * steps + self.progress.step;
        progress.begin("training", (steps * self.config.epochs).saturating_sub(done) as u64);
        let ended =
            self.remaining_epochs(&TrainingData { train, order, validation }, progress, observer);
        if ended.as_ref().is_err_and(Error::is_cancelled) {
            return Err(self.cancelled(steps));
        }
        ended?;
        let summary = self.progress.best().map_or_else(String::new, |r| {
            format!("best epoch {}: validation Dice {:.4}", r.epoch, r.validation_dice)
        });
        progress.finish(&summary);
        Ok(self.progress.history.clone())
    }

    /// A cancellation, which counts the steps that were done; an epoch has `steps`.
    fn cancelled(&self, steps: usize) -> Error {
        let done = self.progress.epoch * steps + self.progress.step;
        let (what, kept) = (
            "training steps",
            "checkpoints that were written are kept, and the run can be resumed from the last",
        );
        let total = steps * self.config.epochs;
        Error::Desam(desam::Error::Cancelled { what, done, total, kept })
    }

    /// Trains and validates until the last epoch.
    fn remaining_epochs(
        &mut self,
        data: &TrainingData<'_>,
        progress: &dyn Progress,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        while self.progress.epoch < self.config.epochs {
            self.epoch(data, progress, observer)?;
            let scores =
                self.with_averaged_parameters(|| validate(self, data.validation, progress))?;
            // The last step's loss was computed before its update: the updated parameters may be
            // non-finite even where that loss was not.
            self.check_finite(scores.losses.mean_total())?;
            let record = self.record(&scores);
            self.progress.complete_epoch(record);
            observer.epoch(self, &record)?;
        }
        Ok(())
    }

    /// The record of the epoch in progress.
    fn record(&self, scores: &Validation) -> EpochRecord {
        // All steps of the epoch are done.
        let TrainProgress { epoch, step, losses, history } = &self.progress;
        let mut record = EpochRecord {
            epoch: epoch + 1,
            learning_rate: self.config.learning_rate_of_step(*epoch, 0, *step),
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
            BestBy::Last => r.epoch as f64,
        };
        record.best = history.iter().all(|r| score(&record) > score(r));
        record
    }

    /// Runs the remaining steps of the epoch in progress.
    fn epoch(
        &mut self,
        data: &TrainingData<'_>,
        progress: &dyn Progress,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let (epoch, epochs, seed) = (self.progress.epoch, self.config.epochs, self.config.seed);
        let last = self.progress.history.last();
        let dice = last.map_or_else(String::new, |r| format!(", Dice {:.3}", r.validation_dice));
        let order = data.order.of_epoch(seed, epoch);
        let views = self.config.views_per_slice();
        let batches: Vec<Vec<SliceView>> = order
            .chunks(self.config.batch)
            .skip(self.progress.step)
            .map(|slices| SliceView::of(slices, views))
            .collect();
        let draw_prompt = self.prompt_drawer();
        let prompted = |SliceView { index, purpose }: SliceView| {
            let mut augmentation = stream(seed, purpose, epoch, index);
            let slice = data.train.draw(index, &mut augmentation)?;
            // All views of a slice get one prompt.
            draw_prompt(slice, stream(seed, RngPurpose::Prompt, epoch, index))
        };
        let steps = order.len().div_ceil(self.config.batch);
        let ahead = self.prefetch;
        let read = |n: usize| read_batch(&batches[n], ahead > 0, prompted);
        prefetch(batches.len(), ahead, read, |items: Vec<PromptedSlice>| {
            progress.check_cancelled()?;
            let learning_rate = self.config.learning_rate_of_step(epoch, self.progress.step, steps);
            let (value, gradient_norm) = self.step(&self.batch(&items)?, learning_rate)?;
            let loss = f64::from(value.total.to_scalar::<f32>()?);
            self.progress.step += 1;
            self.check_finite(loss)?;
            self.progress.losses.add(&value, items.len())?;
            observer.step(self, &StepRecord { loss, learning_rate, gradient_norm })?;
            let mean = self.progress.losses.mean_total();
            progress.advance(1, &format!("epoch {}/{epochs}, loss {mean:.4}{dice}", epoch + 1));
            Ok(())
        })
    }

    /// Refuses a NaN or infinite loss, naming the latest step.
    fn check_finite(&self, loss: f64) -> Result<()> {
        let TrainProgress { epoch, step, .. } = self.progress;
        if loss.is_finite() {
            return Ok(());
        }
        Err(Error::NotFinite { loss, epoch: epoch + 1, step })
    }

    /// A function that draws a prompt for a slice. It borrows the model, not the trainer, so reader
    /// threads can use it while a step changes the trainer.
    pub(super) fn prompt_drawer(
        &self,
    ) -> impl Fn(CachedSlice, ChaCha8Rng) -> Result<PromptedSlice> + Sync + use<'a> {
        let (sampler, spec) = (Arc::clone(&self.sampler), self.model.spec);
        move |slice, rng| PromptedSlice::draw(slice, sampler.as_ref(), spec, rng)
    }
}
