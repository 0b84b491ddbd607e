//! Training a decoder on one site's cached features.

mod adam;
mod augment;
mod batch;
mod checkpoint;
mod clip;
mod config;
mod ema;
mod extension;
mod history;
mod keep;
mod keeper;
mod observer;
mod options;
mod reading;
mod resume;
mod run;
mod sides;
mod snapshot;
mod state;
mod step;
mod tensorboard;
mod trainer;
mod validate;
mod variant;

pub use adam::{Adam, AdamConfig, Moments};
pub use augment::Augment;
pub use clip::gradient_norm;
pub use config::{BestBy, Preset, TrainConfig};
pub use extension::Extension;
pub use history::EpochRecord;
pub use keep::KeepFeatures;
pub use observer::{Observer, StepRecord};
pub use options::RunOptions;
pub(crate) use reading::in_order;
pub use run::{InputFile, Run, RunConfig, RunManifest};
pub use snapshot::Snapshot;
pub use state::Position;
pub use trainer::{Slices, Trainer};

use crate::model::{Trainable, WeightsCoverage, open_cache_weights};
use crate::train::sides::Sides;
use crate::train::step::computable;
use crate::{Error, Result};
use candle_core::Device;
use desam_core::Progress;
use desam_data::cache::FeatureCache;
use keeper::Keeper;
use resume::begin;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What [`train`] is asked for.
#[derive(Debug, Clone)]
pub struct TrainRequest<'a> {
    /// The features, made by [`crate::embed`].
    pub cache: &'a Path,
    /// The run's folder, to be made, or to be continued by [`train_with`].
    pub out: &'a Path,
    /// How to train.
    pub config: &'a TrainConfig,
    /// A checkpoint whose mask decoder to start from; without one, the cache's weights: SAM's
    /// mask decoder for PRIM, and PIMM drawn from the seed.
    pub init: Option<&'a Path>,
    /// Where to train.
    pub device: Device,
}

/// What [`train`] came to.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TrainSummary {
    /// The run's folder.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub run: PathBuf,
    /// The best model's file.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub model: PathBuf,
    /// The epoch it comes from, from 1.
    pub best_epoch: usize,
    /// Mean Dice over the validation cases after that epoch, 0 to 1.
    pub validation_dice: f64,
    /// All epochs.
    pub history: Vec<EpochRecord>,
}

/// Trains a decoder on one site and keeps the best model in validation.
///
/// After every epoch `history.csv`, a checkpoint and `manifest.json` are written, and
/// `model.safetensors` whenever the model is the best so far; each in one step, so a run that is
/// killed leaves whole files.
///
/// # Errors
/// When the cache, the site or the checkpoint does not fit, the cache or its weights are damaged,
/// another process writes to `out` or it already holds a run, or the loss stops being a number.
pub fn train(request: &TrainRequest<'_>, progress: &dyn Progress) -> Result<TrainSummary> {
    train_with(request, &mut RunOptions::default(), progress)
}

/// The same, with a say in how the run is kept, and continuing one that was stopped.
///
/// A run that was killed at any moment and is continued with the same request ends with the same
/// bits in `model.safetensors`, `history.csv` and its last checkpoint as one that was not. What was
/// done since its last checkpoint is done again. A run that is finished is left as it is. With more
/// epochs than before it goes on, see [`Extension`].
///
/// # Errors
/// As [`train`]; when settings, features or weights are not those that the run was begun with, all
/// differences being listed; when none of its checkpoints can be used.
pub fn train_with(
    request: &TrainRequest<'_>,
    keep: &mut RunOptions<'_>,
    progress: &dyn Progress,
) -> Result<TrainSummary> {
    let config = request.config;
    config.validate()?;
    keep.validate()?;
    computable(config.precision, &request.device)?;
    // From here to the end: two processes that continue one run would mix their files.
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
    let options = (request.init, config.seed, request.device.clone());
    let model = Trainable::from_checkpoint(checkpoint, config.decoder(), options)?;
    model.check_cache(&cache)?;

    let mut sides = Sides::new(&cache, config, (&weights, &request.device))?;
    let features = sides.feature_bytes(&cache);
    let kept = keep.keep_features.decide(features, config, &request.device)?;

    let run_config =
        RunConfig { train: config.clone(), decoder: model.decoder.module.config().clone() };
    let manifest = RunManifest {
        desam_version: env!("CARGO_PKG_VERSION").to_owned(),
        cache: request.cache.to_owned(),
        cache_key: cache.header().key.clone(),
        weights: InputFile::of(&weights)?,
        init: request.init.map(InputFile::of).transpose()?,
        initialised_parameters: model.decoder.report.initialised.len(),
        trainable_numbers: model.trainable_numbers(),
        train_slices: sides.train.slices.len(),
        validation_slices: sides.validation.slices.len(),
        train_cases: std::mem::take(&mut sides.train.cases),
        validation_cases: std::mem::take(&mut sides.validation.cases),
        device: crate::device::name(&request.device),
        epochs_done: 0,
        best_epoch: None,
        finished: false,
    };
    progress.say(&format!(
        "{}: {} slices of {} cases to train on, {} of {} held out",
        config.source,
        manifest.train_slices,
        manifest.train_cases.len(),
        manifest.validation_slices,
        manifest.validation_cases.len()
    ));

    let mut begun = begin(request.out, (run_config, manifest), keep, progress)?;
    let run = begun.run.clone();
    let history = if begun.finished() && begun.snapshot.is_none() {
        run.history()?
    } else {
        let Sides { train, validation } = match kept {
            true => sides.kept(&request.device, progress)?,
            false => sides,
        };
        let settings = begun.config.train.clone();
        let ahead = keep.ahead(kept || config.live, &request.device);
        let mut trainer = Trainer::new(&model, &settings)?.reading_ahead(ahead);
        if let Some(snapshot) = begun.snapshot.take() {
            trainer.restore(&snapshot)?;
        }
        let mut keeper = Keeper::new(&mut begun, &model, keep, trainer.steps())?;
        trainer.fit_observed(&*train.slices, &*validation.slices, progress, &mut keeper)?
    };
    let best = history.iter().rfind(|r| r.best).copied();
    let best = best.ok_or_else(|| Error::Invalid("no epoch was trained".into()))?;
    Ok(TrainSummary {
        run: run.dir().to_owned(),
        model: run.model_path(),
        best_epoch: best.epoch,
        validation_dice: best.validation_dice,
        history,
    })
}

#[cfg(test)]
#[cfg(feature = "emulation")]
mod tests;
