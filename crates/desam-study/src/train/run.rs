//! A run's folder: what was asked, what went in, what came of each epoch, the best model.

use super::{EpochRecord, TrainConfig, history};
use crate::{Error, Result};
use desam::files::{read_json, write_json};
use desam::model::{RUN_CONFIG_FILE, RUN_MODEL_FILE};
use desam_data::cache::hash_file;
use desam_decoder::DecoderConfig;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `config.json`: everything that decides the run beside its inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// How it is trained.
    pub train: TrainConfig,
    /// What is trained.
    pub decoder: DecoderConfig,
}

impl RunConfig {
    /// The same without the number of epochs, which is all that may change when a run goes on.
    pub(super) fn without_length(&self) -> Self {
        let train = TrainConfig { epochs: 0, extended: Vec::new(), ..self.train.clone() };
        Self { train, ..self.clone() }
    }
}

/// `manifest.json`: what went in, by hash, and how far the run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// Version of this program.
    pub desam_version: String,
    /// The feature cache.
    #[serde(with = "desam_core::serde_path")]
    pub cache: PathBuf,
    /// Its key: frozen weights, preprocessing, type, slices.
    pub cache_key: String,
    /// The file the frozen halves, and by default the decoder, came from, and its blake3.
    pub weights: InputFile,
    /// The file the decoder started from, where one was named.
    pub init: Option<InputFile>,
    /// Parameters of the decoder that were drawn from the seed, having been in no file.
    pub initialised_parameters: usize,
    /// Numbers in the decoder's parameters that can learn.
    pub trainable_numbers: usize,
    /// Cases trained on.
    pub train_cases: Vec<String>,
    /// Cases held out.
    pub validation_cases: Vec<String>,
    /// Slices trained on.
    pub train_slices: usize,
    /// Slices validated on.
    pub validation_slices: usize,
    /// Where it ran: `cpu` or `cuda:N`; `Cpu` where the run is older than that.
    pub device: String,
    /// Epochs that are done.
    pub epochs_done: usize,
    /// The best epoch so far, from 1; its weights are in `model.safetensors`.
    pub best_epoch: Option<usize>,
    /// Whether all epochs are done.
    pub finished: bool,
}

/// A file that went in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// Where it was.
    #[serde(with = "desam_core::serde_path")]
    pub path: PathBuf,
    /// blake3 of its bytes, in hexadecimal.
    pub blake3: String,
}

impl InputFile {
    /// Hashes a file. Of a checkpoint of several files, a folder or the shards of an index, it is the
    /// hash of their hashes, one a line.
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

/// A run's folder.
#[derive(Debug, Clone)]
pub struct Run {
    dir: PathBuf,
}

impl Run {
    /// The run in `dir`, which must hold its `config.json`.
    ///
    /// # Errors
    /// When it does not.
    pub fn open(dir: &Path) -> Result<Self> {
        let run = Self { dir: dir.to_owned() };
        if !run.config_path().is_file() {
            let reason = "not a run: it holds no config.json; give the --out of `desam train`";
            return Err(Error::file(dir, reason));
        }
        Ok(run)
    }

    /// A new run in `dir`, which must not hold one yet.
    pub(super) fn create(dir: &Path, config: &RunConfig) -> Result<Self> {
        let run = Self { dir: dir.to_owned() };
        if run.config_path().exists() {
            let reason = "already holds a run; continue it with --resume, or choose another --out";
            return Err(Error::file(dir, reason));
        }
        if run.model_path().exists() {
            let reason = "already holds a model.safetensors that no run wrote (of features, it is \
                          their frozen weights); choose another --out";
            return Err(Error::file(dir, reason));
        }
        desam::files::create_dir(dir)?;
        write_json(&run.config_path(), config)?;
        Ok(run)
    }

    /// Whether `dir` holds a run.
    pub(super) fn exists(dir: &Path) -> bool {
        dir.join(RUN_CONFIG_FILE).is_file()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The best model, whole, with official names. Absent until the first epoch is done.
    pub fn model_path(&self) -> PathBuf {
        self.dir.join(RUN_MODEL_FILE)
    }

    /// What was asked for.
    ///
    /// # Errors
    /// When `config.json` cannot be read.
    pub fn config(&self) -> Result<RunConfig> {
        Ok(read_json(&self.config_path())?)
    }

    /// What went in, and how far it is.
    ///
    /// # Errors
    /// When `manifest.json` cannot be read.
    pub fn manifest(&self) -> Result<RunManifest> {
        Ok(read_json(&self.dir.join("manifest.json"))?)
    }

    /// The rows of `history.csv`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn history(&self) -> Result<Vec<EpochRecord>> {
        history::read(&self.dir.join("history.csv"))
    }

    /// Whether its `manifest.json` is there.
    pub(super) fn has_manifest(&self) -> bool {
        self.dir.join("manifest.json").is_file()
    }

    /// Rows of its `history.csv`; none where it is not there yet.
    pub(super) fn rows(&self) -> Result<usize> {
        match self.dir.join("history.csv").is_file() {
            true => Ok(self.history()?.len()),
            false => Ok(0),
        }
    }

    /// Where its checkpoints are.
    pub(super) fn checkpoints(&self) -> PathBuf {
        self.dir.join("checkpoints")
    }

    /// Where TensorBoard's event files are.
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
