//! What is written while a run goes.

use super::resume::Begun;
use super::{EpochRecord, Observer, RunOptions, StepRecord, Trainer};
use crate::Result;
use crate::model::{ModelRecord, Trainable, TrainingRecord};
use std::time::Duration;

/// Writes a run's files as its training goes on.
pub(super) struct Keeper<'a, 'o> {
    begun: &'a mut Begun,
    model: &'a Trainable,
    record: ModelRecord,
    options: &'a mut RunOptions<'o>,
    /// When the last checkpoint was written, or the work began.
    saved: Duration,
}

impl<'a, 'o> Keeper<'a, 'o> {
    pub(super) fn new(
        begun: &'a mut Begun,
        model: &'a Trainable,
        options: &'a mut RunOptions<'o>,
    ) -> Self {
        let saved = (options.clock)();
        Self { begun, model, record: model.record.clone(), options, saved }
    }
}

impl Observer for Keeper<'_, '_> {
    fn step(&mut self, trainer: &Trainer<'_>, _record: &StepRecord) -> Result<()> {
        let now = (self.options.clock)();
        // A clock that was put back starts the time anew.
        self.saved = self.saved.min(now);
        if self.options.checkpoint_every.is_some_and(|every| now - self.saved >= every) {
            self.begun.checkpoints.write(&trainer.snapshot(), &self.begun.seal)?;
            self.saved = now;
        }
        Ok(())
    }

    /// History, model and checkpoint in this order: what a checkpoint says has been written, is.
    fn epoch(&mut self, trainer: &Trainer<'_>, row: &EpochRecord) -> Result<()> {
        let Begun { run, config, manifest, checkpoints, seal, .. } = &mut *self.begun;
        run.write_history(trainer.position().history())?;
        if row.best {
            self.record.training = Some(TrainingRecord {
                source: config.train.source.clone(),
                mode: config.train.mode,
                epoch: row.epoch,
                validation_dice: row.validation_dice,
            });
            self.model.save(&run.model_path(), &self.record)?;
            manifest.best_epoch = Some(row.epoch);
        }
        checkpoints.write(&trainer.snapshot(), seal)?;
        self.saved = (self.options.clock)();
        manifest.epochs_done = row.epoch;
        manifest.finished = row.epoch == config.train.epochs;
        run.write_manifest(manifest)
    }
}
