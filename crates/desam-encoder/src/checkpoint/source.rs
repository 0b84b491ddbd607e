//! The open files of a checkpoint, as one list of tensors.

use super::entry::Entry;
use super::files::Files;
use super::kind::Kind;
use super::safetensors::SafetensorsFile;
use super::torch::TorchFile;
use crate::{Error, Result};
use candle_core::Tensor;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// One open file.
enum Source<'a> {
    Torch(TorchFile),
    Safetensors(SafetensorsFile<'a>),
}

/// All of a checkpoint's files. Entries are numbered through.
pub(super) struct Sources<'a> {
    sources: Vec<Source<'a>>,
}

impl Sources<'static> {
    /// Opens the files and checks that shards hold what their index says.
    ///
    /// # Errors
    /// When a file cannot be read or is none that is known, or a shard lacks a tensor.
    pub(super) fn open(files: &Files) -> Result<Self> {
        let open = |path: &PathBuf| match Kind::of(path)? {
            Kind::Zip => Ok(Source::Torch(TorchFile::open(path)?)),
            Kind::Safetensors => Ok(Source::Safetensors(SafetensorsFile::open(path)?)),
            Kind::Other(what) => Err(Error::checkpoint(path, what)),
        };
        let sources = files.files.iter().map(open).collect::<Result<Vec<_>>>()?;
        let names = |source: &Source<'_>| -> HashSet<String> {
            source.entries().iter().map(|e| e.name.clone()).collect()
        };
        let held: BTreeMap<&PathBuf, HashSet<String>> =
            files.files.iter().zip(sources.iter().map(names)).collect();
        for (tensor, file) in &files.shards {
            if !held.get(file).is_some_and(|names| names.contains(tensor)) {
                let reason = format!(
                    "it lacks {tensor}, which the index says is in it; get the shards and their \
                     index again, from one revision"
                );
                return Err(Error::checkpoint(file, reason));
            }
        }
        Ok(Self { sources })
    }
}

impl<'a> Sources<'a> {
    /// The bytes of one `.safetensors` file.
    pub(super) fn from_safetensors(path: &Path, bytes: &'a [u8]) -> Result<Self> {
        let file = SafetensorsFile::from_bytes(path, bytes)?;
        Ok(Self { sources: vec![Source::Safetensors(file)] })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.sources.iter().flat_map(Source::entries)
    }

    /// What the files say about themselves; of keys that several have, the first file's.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for source in &self.sources {
            if let Source::Safetensors(file) = source {
                for (key, value) in file.metadata() {
                    all.entry(key).or_insert(value);
                }
            }
        }
        all
    }

    /// Loads entries by their numbers, which are sorted, and hands over each with its number.
    pub(super) fn load(
        &mut self,
        wanted: &[usize],
        put: &mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut first = 0;
        for source in &mut self.sources {
            let end = first + source.entries().len();
            let own = wanted.iter().filter(|i| (first..end).contains(i)).map(|i| i - first);
            let own: Vec<usize> = own.collect();
            let mut number = |index: usize, tensor: Tensor| put(first + index, tensor);
            match source {
                Source::Torch(file) => file.load(&own, &mut number)?,
                Source::Safetensors(file) => file.load(&own, &mut number)?,
            }
            first = end;
        }
        Ok(())
    }
}

impl Source<'_> {
    fn entries(&self) -> &[Entry] {
        match self {
            Self::Torch(file) => file.entries(),
            Self::Safetensors(file) => file.entries(),
        }
    }
}
