//! The checkpoints of a run: files from which it continues with the same bits.

mod state;
#[cfg(test)]
mod tests;

pub(super) use state::Seal;

use super::Snapshot;
use crate::{Error, Result};
use desam_core::Progress;
use desam_core::temporary::remove_leftovers;
use desam_encoder::Checkpoint;
use desam_encoder::checkpoint::{weights_hash, write};
use desam_nn::params::Tensors;
use state::State;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The key of the state among a file's metadata; the number is the format's.
const STATE: &str = "desam_training_1";
/// The key of the checksum over state and tensors.
const CHECKSUM: &str = "blake3";

/// The folder of a run's checkpoints.
#[derive(Debug)]
pub(super) struct Checkpoints {
    dir: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// `keep` is how many are left after one is written.
    pub(super) fn new(dir: PathBuf, keep: usize) -> Self {
        Self { dir, keep: keep.max(1) }
    }

    /// Writes a checkpoint in one step and removes those that are too many. A later one can only be
    /// one that could not be used: it goes as well.
    pub(super) fn write(&self, snapshot: &Snapshot, seal: &Seal) -> Result<()> {
        desam::files::create_dir(&self.dir)?;
        let path = self.dir.join(format!("step_{:08}.safetensors", snapshot.steps));
        let state = serde_json::to_string(&State::of(snapshot, seal))
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        let checksum = checksum(&state, &snapshot.tensors)?;
        let metadata = [(STATE, state), (CHECKSUM, checksum)];
        let metadata = metadata.map(|(key, text)| (key.to_owned(), text));
        write(&path, &snapshot.tensors, &BTreeMap::from(metadata))?;
        let (later, mut files): (Vec<_>, Vec<_>) =
            self.files()?.into_iter().partition(|(step, _)| *step > snapshot.steps);
        files.truncate(files.len().saturating_sub(self.keep));
        for (_, path) in later.into_iter().chain(files) {
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }

    /// The newest checkpoint that is whole and belongs to `seal`; `None` where there is no file at
    /// all. Those that cannot be used are named to `progress`.
    ///
    /// # Errors
    /// When there are files, and none can be used.
    pub(super) fn newest(&self, seal: &Seal, progress: &dyn Progress) -> Result<Option<Snapshot>> {
        let mut refused = Vec::new();
        for (_, path) in self.files()?.into_iter().rev() {
            match read(&path, seal) {
                Ok(snapshot) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    for error in refused {
                        progress.say(&format!("{error}; going back to {name}"));
                    }
                    return Ok(Some(snapshot));
                }
                Err(error) => refused.push(error.to_string()),
            }
        }
        if refused.is_empty() {
            return Ok(None);
        }
        let reason = format!(
            "none of the run's checkpoints can be used, so it cannot be continued; its best model \
             is not touched by that: train anew with another --out. {}",
            refused.join("; ")
        );
        Err(Error::file(&self.dir, reason))
    }

    /// Removes what killed writes left: here, and of the model among the run's own files.
    pub(super) fn sweep(&self, run: &Path) -> Result<()> {
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

/// What is in a folder; nothing where there is none.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(dir).map_err(Error::io("read", dir))?;
    entries.map(|e| Ok(e.map_err(Error::io("read", dir))?.path())).collect()
}

fn checksum(state: &str, tensors: &Tensors) -> Result<String> {
    let mut hasher = blake3::Hasher::new_derive_key("desam training checkpoint v1");
    hasher.update(weights_hash(tensors, &[])?.as_bytes());
    hasher.update(state.as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}

fn read(path: &Path, seal: &Seal) -> Result<Snapshot> {
    let file = Checkpoint::open_verbatim(path)?;
    let refuse = |reason: &str| Error::file(path, reason);
    let (Some(text), Some(sum)) = (file.metadata.get(STATE), file.metadata.get(CHECKSUM)) else {
        return Err(refuse("holds no state of a training that this version can read"));
    };
    if checksum(text, &file.tensors)? != *sum {
        return Err(refuse("is damaged: its checksum does not fit its content"));
    }
    let state: State = serde_json::from_str(text)
        .map_err(|e| Error::file(path, format!("its state cannot be read: {e}")))?;
    if state.seal != *seal {
        let reason = "belongs to another configuration, or to another version of this program";
        return Err(refuse(reason));
    }
    Ok(state.with(file.tensors))
}
