//! Training of a decoder on the cached features of one site.
//!
//! [`train`] is the whole job, from a feature cache to a run directory; [`Trainer`] is its loop alone.
//!
//! | concept | where |
//! |---|---|
//! | settings, presets, learning-rate schedule, data augmentation | [`TrainConfig`], [`Preset`], [`Extension`], [`Augment`] |
//! | train/validation split, features in GPU memory or prefetched | `dataset`, [`FeatureResidency`] |
//! | optimizer, gradient clipping, exponential moving average | [`Adam`], [`gradient_norm`], `optim::ema` |
//! | fine-tuning of adapters: AdamW, warm-up | [`AdapterOptimizer`], [`WarmupPoly`] |
//! | run directory, checkpoints, resuming | [`RunDir`], [`TrainState`], [`RunOptions`] |
//! | early stopping | there is none: the best epoch in validation is kept, [`BestBy`] |

mod batch;
mod calibrate;
mod checkpoint;
mod class_labels;
mod config;
mod dataset;
mod epoch_order;
mod history;
mod observer;
mod optim;
mod options;
mod parts;
mod residency;
mod resume;
mod rng;
mod run_dir;
mod run_writer;
mod source_statistics;
mod state;
mod step;
mod tensorboard;
mod trainer;
mod validate;

pub use config::{Augment, BestBy, Extension, Preset, TrainConfig, TrainSlices};
pub use history::EpochRecord;
pub use observer::{Observer, StepRecord};
pub use optim::{Adam, AdamConfig, AdapterOptimizer, Moments, WarmupPoly, gradient_norm};
pub use options::RunOptions;
pub use parts::TrainableParts;
pub use residency::{FeatureResidency, ResidencyRefusal};
pub use run_dir::{InputFile, RunConfig, RunDir, RunManifest};
pub use state::{TrainProgress, TrainState};
pub use trainer::{SliceDataset, Trainer};

pub(crate) use class_labels::check_classes;

use crate::{Error, Result};
use candle_core::Device;
use dataset::TrainValSplit;
use desam::model::{
    PresenceCalibration, Trainable, TrainableNetwork, TrainableOptions, WeightsCoverage,
    open_cache_weights,
};
use desam::{Compute, Model, ModelRecord};
use desam_core::Progress;
use desam_data::cache::FeatureCache;
use parts::TrainedModel;
use resume::open_run;
use run_writer::{RunWriter, SavedModel};
use source_statistics::source_statistics;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use step::check_precision;

/// Input of [`train`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainRequest<'a> {
    /// The feature cache, written by [`desam::embed`].
    pub cache: &'a Path,
    /// The run directory: created, or continued by [`train_with`].
    pub out: &'a Path,
    /// The training settings.
    pub config: &'a TrainConfig,
    /// Checkpoint whose mask decoder training starts from. Without one it starts from the cache's
    /// weights: SAM's mask decoder for PRIM, and PIMM drawn from the seed.
    pub init: Option<&'a Path>,
    /// The device to train on.
    pub device: Device,
}

impl<'a> TrainRequest<'a> {
    /// Training on the CPU, from the cache's weights.
    pub fn new(cache: &'a Path, out: &'a Path, config: &'a TrainConfig) -> Self {
        Self { cache, out, config, init: None, device: Device::Cpu }
    }

    /// Sets [`init`](Self::init).
    #[must_use]
    pub fn with_init(self, init: Option<&'a Path>) -> Self {
        Self { init, ..self }
    }

    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }
}

/// Result of [`train`].
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct TrainSummary {
    /// The run directory.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub run: PathBuf,
    /// File of the best model.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub model: PathBuf,
    /// Epoch of the best model, from 1.
    pub best_epoch: usize,
    /// Mean Dice over the validation cases after that epoch, 0 to 1.
    pub validation_dice: f64,
    /// Detection of empty slices, where training was on all slices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceCalibration>,
    /// One record per epoch.
    pub history: Vec<EpochRecord>,
}

/// Trains a decoder on one site and keeps the best model in validation.
///
/// After every epoch `history.csv`, a checkpoint and `manifest.json` are written, and
/// `model.safetensors` whenever the model is the best so far. Each write is atomic, so a killed run
/// leaves whole files.
///
/// # Errors
/// When the cache, the site or the checkpoint does not fit, the cache or its weights are damaged,
/// another process writes to `out` or it already holds a run, or the loss becomes NaN or infinite;
/// [`desam::Error::Cancelled`] after the step during which `progress` was cancelled. The last
/// checkpoint is kept then, and [`train_with`] resumes from it.
pub fn train(request: &TrainRequest<'_>, progress: &dyn Progress) -> Result<TrainSummary> {
    train_with(request, &mut RunOptions::default(), progress)
}

/// Trains as [`train`] does, with options for checkpoints, logging and resuming.
///
/// A run that was killed at any moment and is resumed with the same request ends with the same bits in
/// `model.safetensors`, `history.csv` and its last checkpoint as an uninterrupted one. Steps since the
/// last checkpoint are repeated. A finished run is left as it is. With more epochs than before, the run
/// is extended; see [`Extension`].
///
/// # Errors
/// As [`train`]; when settings, features or weights differ from those the run was started with (all
/// differences are listed); when none of its checkpoints can be used.
pub fn train_with(
    request: &TrainRequest<'_>,
    options: &mut RunOptions<'_>,
    progress: &dyn Progress,
) -> Result<TrainSummary> {
    let config = request.config;
    config.validate()?;
    options.validate()?;
    check_precision(config.precision, &request.device)?;
    // Held to the end: two processes that resume one run would mix their files.
    let _lock = desam_data::lock::folder(request.out, progress)?;
    let cache = Arc::new(FeatureCache::open(request.cache)?);
    let (checkpoint, coverage) = open_cache_weights(&cache)?;
    let weights = checkpoint.path.clone();
    if coverage != WeightsCoverage::Whole {
        progress.detail(&format!(
            "{}: the cache was made before the hash of the whole file was recorded; only its image \
             encoder has been checked",
            weights.display()
        ));
    }
    let mut start = TrainableOptions::new(config.seed)
        .with_decoder(config.decoder())
        .with_device(request.device.clone());
    start.init = request.init.map(Path::to_path_buf);
    let model: Box<dyn TrainedModel> = match &config.adapter {
        Some(adapter) => Box::new(TrainableNetwork::from_checkpoint(checkpoint, &start, adapter)?),
        None => Box::new(Trainable::from_checkpoint(checkpoint, &start)?),
    };
    let model = model.as_ref();
    model.record().check_cache(&cache)?;

    let mut split = TrainValSplit::new(&cache, config, &weights, &request.device)?;
    let feature_bytes = split.feature_bytes(&cache);
    let on_device = options.feature_residency.decide(feature_bytes, config, &request.device)?;

    let run_config = RunConfig { train: config.clone(), decoder: model.decoder().clone() };
    let manifest = RunManifest {
        desam_version: env!("CARGO_PKG_VERSION").to_owned(),
        cache: request.cache.to_owned(),
        cache_key: cache.header().key.clone(),
        views: split.views.take(),
        weights: InputFile::of(&weights)?,
        init: request.init.map(InputFile::of).transpose()?,
        initialised_parameters: model.initialised(),
        trainable_numbers: model.trainable_numbers(),
        train_slices: split.train.slices.len(),
        validation_slices: split.validation.slices.len(),
        train_cases: std::mem::take(&mut split.train.cases),
        validation_cases: std::mem::take(&mut split.validation.cases),
        device: desam::device::name(&request.device),
        epochs_done: 0,
        best_epoch: None,
        finished: false,
    };
    if let Some(note) = split.merged_labels(&cache, &config.classes)? {
        progress.say(&note);
    }
    let start_warning = model.start_warning().map(str::to_owned);
    let warnings = [split.unvalidated.take(), start_warning];
    warnings.into_iter().flatten().for_each(|warning| progress.warn(&warning));
    progress.say(&format!(
        "{}: {} slices of {} cases to train on, {} of {} held out",
        config.source,
        manifest.train_slices,
        manifest.train_cases.len(),
        manifest.validation_slices,
        manifest.validation_cases.len()
    ));

    let mut run = open_run(request.out, run_config, manifest, options, progress)?;
    let dir = run.dir.clone();
    let calibration = split.calibration.take();
    let history = if run.is_finished() && run.state.is_none() {
        dir.history()?
    } else {
        let statistics = source_statistics(&cache, &split.train_cases, &config.classes, progress)?;
        let record = ModelRecord { source_statistics: Some(statistics), ..model.record().clone() };
        let TrainValSplit { train, order, validation, .. } =
            if on_device { split.preloaded(&request.device, progress)? } else { split };
        // The trainer borrows the settings for as long as the writer borrows the run.
        let settings = run.config.train.clone();
        let ahead = options.prefetch_batches(on_device || config.live, &request.device);
        let trainer = Trainer::new(model.parts(), &settings)?;
        let mut trainer = trainer.with_prefetch(ahead).with_order(order);
        if let Some(state) = run.state.take() {
            trainer.restore(&state)?;
        }
        let saved = SavedModel { model, record };
        let mut writer = RunWriter::new(&mut run, saved, options, trainer.steps())?;
        trainer.fit_observed(&*train.slices, &*validation.slices, progress, &mut writer)?
    };
    let best = history.iter().rfind(|r| r.best).copied();
    let best = best.ok_or_else(|| Error::Invalid("no epoch was trained".into()))?;
    let presence = match calibration {
        Some(slices) => calibrated(&dir, request, &*slices, progress)?,
        None => None,
    };
    Ok(TrainSummary {
        run: dir.dir().to_owned(),
        model: dir.model_path(),
        best_epoch: best.epoch,
        validation_dice: best.validation_dice,
        presence,
        history,
    })
}

/// The presence threshold in the best model's record, and its confidence beside it: calibrated now unless a
/// run that was finished before has them.
fn calibrated(
    run: &RunDir,
    request: &TrainRequest<'_>,
    slices: &SliceDataset<'_>,
    progress: &dyn Progress,
) -> Result<Option<PresenceCalibration>> {
    let path = run.model_path();
    let compute = Compute::new(request.device.clone()).with_precision(request.config.precision)?;
    let model = Model::open(&path, &compute)?;
    let mut record = model.record().clone();
    let trained = record.training.as_mut();
    let training = trained.ok_or_else(|| Error::ForeignModel { dir: run.dir().to_owned() })?;
    let is_done = if request.config.calibrates_presence() {
        training.presence.is_some()
    } else {
        training.confidence.is_some()
    };
    if is_done {
        return Ok(training.presence);
    }
    let found = calibrate::calibrate(&model, request.config, slices, progress)?;
    (training.presence, training.confidence) = (found.presence, found.confidence);
    record.replace_in_file(&path)?;
    Ok(found.presence)
}

#[cfg(test)]
#[cfg(feature = "emulation")]
mod kernel_tests;
