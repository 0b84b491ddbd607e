//! Training a decoder on one site's cached features.

mod adam;
mod batch;
mod config;
mod history;
mod run;
mod trainer;
mod validate;

pub use adam::{Adam, AdamConfig, Moments};
pub use config::{BestBy, Preset, TrainConfig};
pub use history::EpochRecord;
pub use run::{InputFile, Run, RunConfig, RunManifest};
pub use trainer::{Slices, Trainer};

use crate::model::{Trainable, TrainingRecord, WEIGHTS_FILE};
use crate::{Error, Result};
use candle_core::Device;
use desam_core::{Dataset, Progress};
use desam_data::cache::{CachedSlices, FeatureCache};
use desam_data::split::split_cases;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What [`train`] is asked for.
#[derive(Debug, Clone)]
pub struct TrainRequest<'a> {
    /// The features, made by [`crate::embed`].
    pub cache: &'a Path,
    /// The run's folder, to be made.
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
    pub run: PathBuf,
    /// The best model's file.
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
/// After every epoch `history.csv` and `manifest.json` are written anew, and `model.safetensors`
/// whenever the model is the best so far; each in one step, so a run that is killed leaves whole
/// files.
///
/// # Errors
/// When the cache, the site or the checkpoint does not fit, `out` already holds a run, or the loss
/// stops being a number.
pub fn train(request: &TrainRequest<'_>, progress: &dyn Progress) -> Result<TrainSummary> {
    let config = request.config;
    config.validate()?;
    let cache = Arc::new(FeatureCache::open(request.cache)?);
    let weights = request.cache.join(WEIGHTS_FILE);
    if !weights.is_file() {
        let reason = "is not there: `desam embed` writes it last; run it again to finish the cache";
        return Err(Error::file(&weights, reason));
    }
    let options = (request.init, config.seed, request.device.clone());
    let model = Trainable::open_as(&weights, config.decoder(), options)?;
    model.check_cache(&cache)?;

    let site = site_cases(&cache, &config.source)?;
    let split = split_cases(site.len(), config.validation_fraction, config.split)?;
    let side = |picked: &[usize]| -> Result<(Vec<String>, CachedSlices)> {
        let cases: Vec<usize> = picked.iter().map(|&i| site[i]).collect();
        let names = cases.iter().map(|&c| cache.cases()[c].id.clone()).collect();
        Ok((names, CachedSlices::new(Arc::clone(&cache), &cases, &request.device)?))
    };
    let (train_cases, train_slices) = side(&split.train)?;
    let (validation_cases, validation_slices) = side(&split.validation)?;

    let run_config =
        RunConfig { train: config.clone(), decoder: model.decoder.module.config().clone() };
    let run = Run::create(request.out, &run_config)?;
    let mut manifest = RunManifest {
        desam_version: env!("CARGO_PKG_VERSION").to_owned(),
        cache: request.cache.to_owned(),
        cache_key: cache.header().key.clone(),
        weights: InputFile::of(&weights)?,
        init: request.init.map(InputFile::of).transpose()?,
        initialised_parameters: model.decoder.report.initialised.len(),
        trainable_numbers: model.trainable_numbers(),
        train_cases,
        validation_cases,
        train_slices: train_slices.len(),
        validation_slices: validation_slices.len(),
        device: format!("{:?}", request.device.location()),
        epochs_done: 0,
        best_epoch: None,
        finished: false,
    };
    run.write_manifest(&manifest)?;
    progress.say(&format!(
        "{}: {} slices of {} cases to train on, {} of {} held out",
        config.source,
        manifest.train_slices,
        manifest.train_cases.len(),
        manifest.validation_slices,
        manifest.validation_cases.len()
    ));

    let mut rows: Vec<EpochRecord> = Vec::new();
    let mut record = model.record.clone();
    let mut trainer = Trainer::new(&model, config)?;
    let history = trainer.fit(&train_slices, &validation_slices, progress, |row| {
        rows.push(*row);
        run.write_history(&rows)?;
        if row.best {
            record.training = Some(TrainingRecord {
                source: config.source.clone(),
                mode: config.mode,
                epoch: row.epoch,
                validation_dice: row.validation_dice,
            });
            model.save(&run.model_path(), &record)?;
            manifest.best_epoch = Some(row.epoch);
        }
        manifest.epochs_done = row.epoch;
        manifest.finished = row.epoch == config.epochs;
        run.write_manifest(&manifest)
    })?;
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

/// The cases of a site, as indices into the cache.
fn site_cases(cache: &FeatureCache, site: &str) -> Result<Vec<usize>> {
    let cases = cache.site_cases(site);
    if cases.is_empty() {
        let sites = cache.sites().join(", ");
        let reason = format!("the cache has no site {site:?}; its sites are {sites}");
        return Err(Error::Invalid(reason));
    }
    Ok(cases)
}
