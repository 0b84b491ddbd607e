//! Writer of a run's files during training: history, manifest, best model, checkpoints, TensorBoard.

use super::parts::TrainedModel;
use super::resume::OpenRun;
use super::tensorboard::EventFile;
use super::{EpochRecord, Observer, RunOptions, StepRecord, Trainer};
use crate::Result;
use desam::model::{ModelRecord, TrainingRecord};
use std::time::Duration;

/// The model that a run saves, with the record for its file.
pub(super) struct SavedModel<'a> {
    pub(super) model: &'a dyn TrainedModel,
    pub(super) record: ModelRecord,
}

/// Writes a run's files after each step and epoch.
pub(super) struct RunWriter<'a, 'o> {
    run: &'a mut OpenRun,
    saved_model: SavedModel<'a>,
    options: &'a mut RunOptions<'o>,
    /// Time of the last checkpoint, or of the start.
    saved: Duration,
    events: Option<EventFile>,
}

impl<'a, 'o> RunWriter<'a, 'o> {
    /// A writer for a training that has taken `steps` optimizer steps.
    pub(super) fn new(
        run: &'a mut OpenRun,
        saved_model: SavedModel<'a>,
        options: &'a mut RunOptions<'o>,
        steps: u32,
    ) -> Result<Self> {
        let saved = (options.clock)();
        let mut events = None;
        if options.tensorboard {
            let mut file = EventFile::create(&run.dir.tensorboard(), saved)?;
            if options.resume {
                file.session_start(saved, steps + 1)?;
            }
            events = Some(file);
        }
        Ok(Self { run, saved_model, options, saved, events })
    }
}

impl Observer for RunWriter<'_, '_> {
    fn step(&mut self, trainer: &Trainer<'_>, record: &StepRecord) -> Result<()> {
        let now = (self.options.clock)();
        if let Some(events) = &mut self.events {
            let mut values =
                vec![("step/loss", record.loss), ("step/learning_rate", record.learning_rate)];
            values.extend(record.gradient_norm.map(|norm| ("step/gradient_norm", norm)));
            events.scalars(now, trainer.steps(), &values)?;
        }
        // The clock may have been set back; the interval then starts over.
        self.saved = self.saved.min(now);
        if self.options.checkpoint_every.is_some_and(|every| now - self.saved >= every) {
            self.run.checkpoints.write(&trainer.state(), &self.run.key)?;
            self.saved = now;
        }
        Ok(())
    }

    fn epoch(&mut self, trainer: &Trainer<'_>, row: &EpochRecord) -> Result<()> {
        let OpenRun { dir, config, manifest, checkpoints, key, .. } = &mut *self.run;
        dir.write_history(trainer.progress().history())?;
        if row.best {
            let SavedModel { model, record } = &mut self.saved_model;
            record.training = Some(TrainingRecord {
                source: config.train.source.clone(),
                mode: config.train.mode,
                epoch: row.epoch,
                validation_dice: row.validation_dice,
                iou_supervised: Some(config.train.loss.iou.is_some()),
                presence: None,
                confidence: None,
            });
            model.save(&dir.model_path(), record, trainer.parameters())?;
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
        // After the epoch's other files: a checkpoint must not claim an epoch whose history or best
        // model is not on the disk.
        checkpoints.write(&trainer.state(), key)?;
        self.saved = now;
        manifest.epochs_done = row.epoch;
        manifest.finished = row.epoch == config.train.epochs;
        dir.write_manifest(manifest)
    }
}
