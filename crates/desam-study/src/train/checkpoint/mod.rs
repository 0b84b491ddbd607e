//! Training checkpoints: files from which a run resumes with the same bits.

mod record;
#[cfg(test)]
mod tests;

pub(super) use record::CheckpointKey;

use super::TrainState;
use crate::{Error, Result};
use desam_core::Progress;
use desam_core::temporary::remove_leftovers;
use desam_encoder::Checkpoint;
use desam_encoder::checkpoint::{weights_hash, write};
use desam_nn::params::Tensors;
use record::CheckpointRecord;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Metadata key of the record; the number is the format's version.
const RECORD: &str = "desam_training_1";
/// Metadata key of the checksum over record and tensors.
const CHECKSUM: &str = "blake3";

/// The folder of a run's checkpoints.
#[derive(Debug)]
pub(super) struct Checkpoints {
    dir: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// The checkpoints in `dir`, of which the newest `keep` are kept after each write.
    pub(super) fn new(dir: PathBuf, keep: usize) -> Self {
        Self { dir, keep: keep.max(1) }
    }

    /// Writes a checkpoint atomically and removes surplus ones. Later ones are removed too: the run went
    /// back to an earlier state because they could not be used.
    pub(super) fn write(&self, state: &TrainState, key: &CheckpointKey) -> Result<()> {
        desam::files::create_dir(&self.dir)?;
        let path = self.dir.join(format!("step_{:08}.safetensors", state.steps));
        let record =
            serde_json::to_string(&CheckpointRecord::of(state, key)).map_err(Error::json(&path))?;
        let checksum = checksum(&record, &state.tensors)?;
        let metadata = [(RECORD, record), (CHECKSUM, checksum)];
        let metadata = metadata.map(|(key, text)| (key.to_owned(), text));
        write(&path, &state.tensors, &BTreeMap::from(metadata))?;
        let (later, mut files): (Vec<_>, Vec<_>) =
            self.files()?.into_iter().partition(|(step, _)| *step > state.steps);
        files.truncate(files.len().saturating_sub(self.keep));
        for (_, path) in later.into_iter().chain(files) {
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }

    /// Loads the newest intact checkpoint with this `key`; `None` where there is no checkpoint. Unusable
    /// ones are reported to `progress`.
    ///
    /// # Errors
    /// When there are checkpoints, and none can be used.
    pub(super) fn newest(
        &self,
        key: &CheckpointKey,
        progress: &dyn Progress,
    ) -> Result<Option<TrainState>> {
        let mut refused = Vec::new();
        for (_, path) in self.files()?.into_iter().rev() {
            match read(&path, key) {
                Ok(state) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    for error in refused {
                        progress.say(&format!("{error}; going back to {name}"));
                    }
                    return Ok(Some(state));
                }
                Err(error) => refused.push(error.to_string()),
            }
        }
        if refused.is_empty() {
            return Ok(None);
        }
        Err(Error::CheckpointsUnusable { dir: self.dir.clone(), reasons: refused })
    }

    /// Removes temporary files that killed writes left in the checkpoints' folder and in the run's.
    pub(super) fn remove_leftovers(&self, run: &Path) -> Result<()> {
        for dir in [self.dir.as_path(), run].into_iter().filter(|dir| dir.is_dir()) {
            remove_leftovers(dir).map_err(Error::io("list", dir))?;
        }
        Ok(())
    }

    /// The checkpoints by step, the newest last.
    fn files(&self) -> Result<Vec<(u32, PathBuf)>> {
        let step = |path: &Path| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix("step_")?.strip_suffix(".safetensors")?.parse().ok()
        };
        let entries = entries(&self.dir)?.into_iter();
        let mut files: Vec<(u32, PathBuf)> =
            entries.filter_map(|path| Some((step(&path)?, path))).collect();
        files.sort();
        Ok(files)
    }
}

/// The entries of a folder; none where it does not exist.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(dir).map_err(Error::io("read", dir))?;
    entries.map(|e| Ok(e.map_err(Error::io("read", dir))?.path())).collect()
}

fn checksum(record: &str, tensors: &Tensors) -> Result<String> {
    let mut hasher = blake3::Hasher::new_derive_key("desam training checkpoint v1");
    hasher.update(weights_hash(tensors, &[])?.as_bytes());
    hasher.update(record.as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}

fn read(path: &Path, key: &CheckpointKey) -> Result<TrainState> {
    let file = Checkpoint::open_verbatim(path)?;
    let refuse = |reason: &str| Error::file(path, reason);
    let (Some(text), Some(sum)) = (file.metadata.get(RECORD), file.metadata.get(CHECKSUM)) else {
        return Err(refuse("holds no state of a training that this version can read"));
    };
    if checksum(text, &file.tensors)? != *sum {
        return Err(refuse("is damaged: its checksum does not fit its content"));
    }
    let record: CheckpointRecord = serde_json::from_str(text)
        .map_err(|e| Error::file(path, format!("its state cannot be read: {e}")))?;
    if record.key != *key {
        let reason = "belongs to another configuration, or to another version of this program";
        return Err(refuse(reason));
    }
    Ok(record.with(file.tensors))
}
