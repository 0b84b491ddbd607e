//! Files of models, caches and runs.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The file in a cache's folder that holds the weights its features were made with: the frozen
/// encoders and, where the checkpoint had one, SAM's mask decoder, under official names.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// The file in a run's folder that holds its settings; a folder without one is no run.
pub const RUN_CONFIG_FILE: &str = "config.json";

/// The file in a run's folder that holds its best model.
pub const RUN_MODEL_FILE: &str = "model.safetensors";

/// The model's file: `path` itself (a file, or the folder of a model), or the best model of the run
/// whose folder it is.
pub(crate) fn model_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() || desam_encoder::checkpoint::is_model_folder(path) {
        return Ok(path.to_owned());
    }
    if !path.join(RUN_CONFIG_FILE).is_file() {
        return Err(Error::NotARun { dir: path.to_owned() });
    }
    let file = path.join(RUN_MODEL_FILE);
    if file.is_file() { Ok(file) } else { Err(Error::NoModelYet { dir: path.to_owned() }) }
}
