//! What is written while a run goes.

use super::resume::Begun;
use super::tensorboard::EventFile;
use super::{EpochRecord, Observer, RunOptions, StepRecord, Trainer};
use crate::Result;
use desam::model::{ModelRecord, Trainable, TrainingRecord};
use std::time::Duration;

/// Writes a run's files as its training goes on.
pub(super) struct Keeper<'a, 'o> {
    begun: &'a mut Begun,
    model: &'a Trainable,
    record: ModelRecord,
    options: &'a mut RunOptions<'o>,
    /// When the last checkpoint was written, or the work began.
    saved: Duration,
    events: Option<EventFile>,
}

impl<'a, 'o> Keeper<'a, 'o> {
    /// For a training that has taken `steps` steps.
    pub(super) fn new(
        begun: &'a mut Begun,
        model: &'a Trainable,
        options: &'a mut RunOptions<'o>,
        steps: u32,
    ) -> Result<Self> {
        let saved = (options.clock)();
        let mut events = None;
        if options.tensorboard {
            let mut file = EventFile::create(&begun.run.tensorboard(), saved)?;
            if options.resume {
                file.start(saved, steps + 1)?;
            }
            events = Some(file);
        }
        Ok(Self { begun, model, record: model.record.clone(), options, saved, events })
    }
}

impl Observer for Keeper<'_, '_> {
    fn step(&mut self, trainer: &Trainer<'_>, record: &StepRecord) -> Result<()> {
        let now = (self.options.clock)();
        if let Some(events) = &mut self.events {
            let mut values =
                vec![("step/loss", record.loss), ("step/learning_rate", record.learning_rate)];
            values.extend(record.gradient_norm.map(|norm| ("step/gradient_norm", norm)));
            events.scalars(now, trainer.steps(), &values)?;
        }
        // A clock that was put back starts the time anew.
        self.saved = self.saved.min(now);
        if self.options.checkpoint_every.is_some_and(|every| now - self.saved >= every) {
            self.begun.checkpoints.write(&trainer.snapshot(), &self.begun.seal)?;
            self.saved = now;
        }
        Ok(())
    }

    /// The checkpoint comes after all that belongs to the epoch: what it says is done, is written.
    fn epoch(&mut self, trainer: &Trainer<'_>, row: &EpochRecord) -> Result<()> {
        let Begun { run, config, manifest, checkpoints, seal, .. } = &mut *self.begun;
        run.write_history(trainer.position().history())?;
        if row.best {
            self.record.training = Some(TrainingRecord {
                source: config.train.source.clone(),
                mode: config.train.mode,
                epoch: row.epoch,
                validation_dice: row.validation_dice,
                iou_supervised: Some(config.train.loss.iou.is_some()),
            });
            let (path, record) = (run.model_path(), &self.record);
            self.model.save_with(&path, record, trainer.parameters())?;
            manifest.best_epoch = Some(row.epoch);
        }
        let now = (self.options.clock)();
        if let Some(events) = &mut self.events {
            let values = [
                ("epoch/train_loss", row.train_loss),
                ("epoch/train_dice_loss", row.train_dice_loss),
                ("epoch/validation_loss", row.validation_loss),
                ("epoch/validation_dice_loss", row.validation_dice_loss),
                ("epoch/validation_dice", row.validation_dice),
            ];
            events.scalars(now, trainer.steps(), &values)?;
        }
        checkpoints.write(&trainer.snapshot(), seal)?;
        self.saved = now;
        manifest.epochs_done = row.epoch;
        manifest.finished = row.epoch == config.train.epochs;
        run.write_manifest(manifest)
    }
}
