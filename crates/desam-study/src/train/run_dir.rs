//! The run directory: settings, manifest of inputs, history, best model, checkpoints.

use super::{EpochRecord, TrainConfig, history};
use crate::{Error, Result};
use desam::files::{read_json, write_json};
use desam::model::{RUN_CONFIG_FILE, RUN_MODEL_FILE};
use desam_data::cache::hash_file;
use desam_decoder::DecoderConfig;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `config.json`: the settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The training settings.
    pub train: TrainConfig,
    /// The decoder's architecture.
    pub decoder: DecoderConfig,
}

impl RunConfig {
    /// The settings without the number of epochs, the only one that may change when a run is resumed.
    pub(super) fn without_length(&self) -> Self {
        let train = TrainConfig { epochs: 0, extended: Vec::new(), ..self.train.clone() };
        Self { train, ..self.clone() }
    }
}

/// `manifest.json`: the inputs of a run, by hash, and its progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// Version of desam.
    pub desam_version: String,
    /// The feature cache.
    #[serde(with = "desam_core::serde_path")]
    pub cache: PathBuf,
    /// The cache's key, a hash of frozen weights, preprocessing, type and slices.
    pub cache_key: String,
    /// The style views of the training cases, where training draws views: which changes, by which seed,
    /// how many of each slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<String>,
    /// The weights file of the frozen halves and, by default, of the initial decoder.
    pub weights: InputFile,
    /// The checkpoint that the decoder started from, where one was given.
    pub init: Option<InputFile>,
    /// Decoder parameters that were in no file and were drawn from the seed.
    pub initialised_parameters: usize,
    /// Number of trainable scalars in the decoder.
    pub trainable_numbers: usize,
    /// Cases of the training side.
    pub train_cases: Vec<String>,
    /// Cases of the validation side, held out from training.
    pub validation_cases: Vec<String>,
    /// Slices of the training side.
    pub train_slices: usize,
    /// Slices of the validation side.
    pub validation_slices: usize,
    /// The device: `cpu` or `cuda:N`; `Cpu` in older runs.
    pub device: String,
    /// Epochs done.
    pub epochs_done: usize,
    /// The best epoch so far, from 1; its weights are in `model.safetensors`.
    pub best_epoch: Option<usize>,
    /// Whether all epochs are done.
    pub finished: bool,
}

/// An input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// Its path.
    #[serde(with = "desam_core::serde_path")]
    pub path: PathBuf,
    /// blake3 of its bytes, in hexadecimal.
    pub blake3: String,
}

impl InputFile {
    /// Hashes a file. For a checkpoint of several files (a folder, or the shards of an index) it is the
    /// hash of their hashes, one per line.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let files = desam_encoder::checkpoint::files(path)?;
        let hashes = files.iter().map(|file| hash_file(file)).collect::<Result<Vec<_>, _>>()?;
        let blake3 = match hashes.as_slice() {
            [one] => one.clone(),
            many => blake3::hash(many.join("\n").as_bytes()).to_hex().to_string(),
        };
        Ok(Self { path: path.to_owned(), blake3 })
    }
}

/// The directory of a run.
#[derive(Debug, Clone)]
pub struct RunDir {
    dir: PathBuf,
}

impl RunDir {
    /// Opens the run in `dir`.
    ///
    /// # Errors
    /// [`Error::NotARun`] when `dir` holds no `config.json`.
    pub fn open(dir: &Path) -> Result<Self> {
        let run = Self { dir: dir.to_owned() };
        if !run.config_path().is_file() {
            return Err(Error::NotARun { dir: dir.to_owned() });
        }
        Ok(run)
    }

    /// Creates a run in `dir`, which must not hold one yet.
    pub(super) fn create(dir: &Path, config: &RunConfig) -> Result<Self> {
        let run = Self { dir: dir.to_owned() };
        if run.config_path().exists() {
            return Err(Error::RunExists { dir: dir.to_owned() });
        }
        if run.model_path().exists() {
            return Err(Error::ForeignModel { dir: dir.to_owned() });
        }
        desam::files::create_dir(dir)?;
        write_json(&run.config_path(), config)?;
        Ok(run)
    }

    /// Whether `dir` holds a run.
    pub(super) fn exists(dir: &Path) -> bool {
        dir.join(RUN_CONFIG_FILE).is_file()
    }

    /// The path of the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// File of the best model, complete and under official names. Absent until the first epoch is done.
    pub fn model_path(&self) -> PathBuf {
        self.dir.join(RUN_MODEL_FILE)
    }

    /// Reads the settings.
    ///
    /// # Errors
    /// When `config.json` cannot be read.
    pub fn config(&self) -> Result<RunConfig> {
        Ok(read_json(&self.config_path())?)
    }

    /// Reads the manifest.
    ///
    /// # Errors
    /// When `manifest.json` cannot be read.
    pub fn manifest(&self) -> Result<RunManifest> {
        Ok(read_json(&self.dir.join("manifest.json"))?)
    }

    /// Reads the rows of `history.csv`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn history(&self) -> Result<Vec<EpochRecord>> {
        history::read(&self.dir.join("history.csv"))
    }

    /// Whether `manifest.json` exists.
    pub(super) fn has_manifest(&self) -> bool {
        self.dir.join("manifest.json").is_file()
    }

    /// Number of rows of `history.csv`; 0 where it does not exist yet.
    pub(super) fn history_rows(&self) -> Result<usize> {
        if self.dir.join("history.csv").is_file() { Ok(self.history()?.len()) } else { Ok(0) }
    }

    /// Folder of the checkpoints.
    pub(super) fn checkpoints(&self) -> PathBuf {
        self.dir.join("checkpoints")
    }

    /// Folder of the TensorBoard event files.
    pub(super) fn tensorboard(&self) -> PathBuf {
        self.dir.join("tensorboard")
    }

    pub(super) fn write_config(&self, config: &RunConfig) -> Result<()> {
        Ok(write_json(&self.config_path(), config)?)
    }

    pub(super) fn write_manifest(&self, manifest: &RunManifest) -> Result<()> {
        Ok(write_json(&self.dir.join("manifest.json"), manifest)?)
    }

    pub(super) fn write_history(&self, rows: &[EpochRecord]) -> Result<()> {
        history::write(&self.dir.join("history.csv"), rows)
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join(RUN_CONFIG_FILE)
    }
}
