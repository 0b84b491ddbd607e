//! Open files of a checkpoint, concatenated to one list of tensors.

use super::entry::Entry;
use super::file_format::FileFormat;
use super::files::Files;
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

/// All files of a checkpoint. Indices of entries run through the files.
pub(super) struct Sources<'a> {
    sources: Vec<Source<'a>>,
}

impl Sources<'static> {
    /// Opens the files and checks that shards hold the tensors their index lists.
    ///
    /// # Errors
    /// When a file cannot be read or is of an unknown format, or a shard lacks a tensor.
    pub(super) fn open(files: &Files) -> Result<Self> {
        let open = |path: &PathBuf| match FileFormat::detect(path)? {
            FileFormat::Zip => Ok(Source::Torch(TorchFile::open(path)?)),
            FileFormat::Safetensors => Ok(Source::Safetensors(SafetensorsFile::open(path)?)),
            FileFormat::Other(what) => Err(Error::checkpoint(path, what)),
        };
        let sources = files.files.iter().map(open).collect::<Result<Vec<_>>>()?;
        let names = |source: &Source<'_>| -> HashSet<String> {
            source.entries().iter().map(|e| e.name.clone()).collect()
        };
        // Shards of two revisions, or an index of another, would otherwise be noticed only as
        // missing parameters.
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
    /// A checkpoint of one `.safetensors` file in memory.
    pub(super) fn from_safetensors(path: &Path, bytes: &'a [u8]) -> Result<Self> {
        let file = SafetensorsFile::from_bytes(path, bytes)?;
        Ok(Self { sources: vec![Source::Safetensors(file)] })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.sources.iter().flat_map(Source::entries)
    }

    /// Metadata of all files; of keys that several have, the first file's.
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

    /// Loads entries by index (sorted) and calls `put` with each index and tensor.
    pub(super) fn load(
        &mut self,
        wanted: &[usize],
        put: &mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Result<()> {
        // Index of the source's first entry in the concatenation.
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
