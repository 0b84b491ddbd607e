//! Checkpoints: whatever the file and its key layout, tensors in f32 under the official names.

mod convert;
mod entry;
mod files;
mod finite;
mod foreign;
mod hash;
mod kind;
mod layout;
mod names;
mod pickle;
mod safetensors;
mod select;
mod source;
mod summary;
mod torch;
mod write;

pub use files::{files, is_model_folder};
pub(crate) use foreign::EXPECTED;
pub use foreign::ForeignModel;
pub use hash::weights_hash;
pub use layout::KeyLayout;
pub use summary::{CheckpointPart, CheckpointSummary};
pub use write::{write, write_f16};

use crate::{Error, Result};
use desam_nn::params::Tensors;
use entry::{ElementType, Entry};
use files::Files;
use foreign::Named;
use layout::Read;
use select::{Selection, is_counter, select};
use source::Sources;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A checkpoint in memory.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Where it came from.
    pub path: PathBuf,
    /// All tensors, f32 on the CPU, by official name (`image_encoder.*`, `prompt_encoder.*`,
    /// `mask_decoder.*`, `mask_decoder.pimm.*`); unknown names are kept as they are.
    pub tensors: Tensors,
    /// What a `.safetensors` file says about itself; empty for `.pth`.
    pub metadata: BTreeMap<String, String>,
    /// How the keys were spelled in the file.
    pub layout: KeyLayout,
    /// What it is, where its names say that it is another model than SAM or DeSAM.
    pub foreign: Option<ForeignModel>,
    /// What was chosen and what was left out: the words in front of the names, a state of the random
    /// numbers. A line each, for people.
    pub notes: Vec<String>,
    /// Choices that decide what is computed with: which of several copies of the model was read.
    pub warnings: Vec<String>,
}

impl Checkpoint {
    /// Reads a `.safetensors` file; a `.pth`, `.pt` or `.bin` that PyTorch saved as a zip; the
    /// shards of a `….index.json`; or the weights in a folder that transformers saved. What a file
    /// is, is read from its first bytes, not from its name: files of a download cache have none.
    ///
    /// In front of the parameters' names there may be the words that training programs put there,
    /// and beside them what they store with a model; see [`notes`](Self::notes).
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, is of PyTorch's old format; when parameters are no
    /// floating point numbers, are NaN or infinite; or when two keys of one parameter disagree.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let files = Files::of(path)?;
        Self::of(path, Sources::open(&files)?)
    }

    /// Reads a file of [`write()`] with every name as it is, whatever it speaks of: a training's own
    /// state, which is more than a model.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged, or a tensor is no floating point.
    pub fn open_verbatim(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut sources = Sources::open(&Files::of(path)?)?;
        let entries: Vec<Entry> = sources.entries().cloned().collect();
        let name = |index: usize| entries.get(index).map(|e| e.name.clone()).unwrap_or_default();
        let wanted: Vec<(usize, String)> = (0..entries.len()).map(|i| (i, name(i))).collect();
        check_types(path, &entries, &wanted)?;
        let all: Vec<usize> = (0..entries.len()).collect();
        let mut tensors = Tensors::new();
        sources.load(&all, &mut |index, tensor| {
            tensors.insert(name(index), tensor);
            Ok(())
        })?;
        let (layout, metadata) = (KeyLayout::Original, sources.metadata());
        let (foreign, notes, warnings) = (None, Vec::new(), Vec::new());
        Ok(Self { path: path.to_owned(), tensors, metadata, layout, foreign, notes, warnings })
    }

    /// Reads the bytes of a `.safetensors` file, which is called `path` in errors.
    ///
    /// # Errors
    /// When they are no such file, or damaged.
    pub(crate) fn from_safetensors(path: &Path, bytes: &[u8]) -> Result<Self> {
        Self::of(path, Sources::from_safetensors(path, bytes)?)
    }

    fn of(path: &Path, mut sources: Sources<'_>) -> Result<Self> {
        let entries: Vec<Entry> = sources.entries().cloned().collect();
        let Selection { mut wanted, mut notes, warnings, ambiguous } = select(&entries);
        if let Some([one, other]) = ambiguous {
            let reason = format!(
                "it holds two copies of the model, {one} and {other}, and neither name says which is \
                 the one to read; save that one alone, for example by torch.save(checkpoint[name], path)"
            );
            return Err(Error::checkpoint(path, reason));
        }
        let layout = layout::detect(wanted.iter().map(|(_, name)| name.as_str()));
        let foreign = foreign_model(&entries, &wanted, layout);
        let counters = wanted.len();
        wanted.retain(|(_, name)| !is_counter(name));
        let counters = counters - wanted.len();
        if counters > 0 {
            notes.push(format!("not read, no parameters: {counters} counters of batches"));
        }
        // Another model is described, not loaded: its whole numbers are in nobody's way.
        let is_float = |index: usize| {
            entries.get(index).is_some_and(|e| matches!(e.element, ElementType::Float(_)))
        };
        if foreign.is_some() {
            wanted.retain(|(index, _)| is_float(*index));
        }
        check_types(path, &entries, &wanted)?;
        let mut names: BTreeMap<usize, String> = wanted.into_iter().collect();
        let indices: Vec<usize> = names.keys().copied().collect();
        let mut read = Vec::with_capacity(indices.len());
        sources.load(&indices, &mut |index, tensor| {
            let key = entries.get(index).map(|e| e.name.clone()).unwrap_or_default();
            let name = names.remove(&index).unwrap_or_else(|| key.clone());
            if names::split_at_part(&name).is_some() {
                finite::check_finite(path, &key, &tensor)?;
            }
            read.push(Read { key, name, tensor });
            Ok(())
        })?;
        let tensors = layout::to_official(path, layout, read)?;
        let metadata = sources.metadata();
        Ok(Self { path: path.to_owned(), tensors, metadata, layout, foreign, notes, warnings })
    }

    /// Refuses the weights of another model than SAM or DeSAM, and says which one they are.
    ///
    /// # Errors
    /// When they are.
    pub fn expect_sam(&self) -> Result<()> {
        let Some(found) = &self.foreign else {
            return Ok(());
        };
        let advice = match found.advice {
            "" => String::new(),
            advice => format!("; {advice}"),
        };
        Err(Error::ForeignModel {
            path: self.path.clone(),
            found: found.name,
            evidence: found.evidence.clone(),
            advice,
        })
    }

    /// The tensors whose names begin with `prefix`, names unchanged.
    pub fn part(&self, prefix: &str) -> Tensors {
        let part = self.tensors.iter().filter(|(name, _)| name.starts_with(prefix));
        part.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
    }

    /// Hash of the tensors whose names begin with one of `prefixes`; see [`weights_hash`].
    ///
    /// # Errors
    /// When a tensor cannot be read back.
    pub fn weights_hash(&self, prefixes: &[&str]) -> Result<String> {
        weights_hash(&self.tensors, prefixes)
    }

    /// What is in it.
    pub fn summary(&self) -> CheckpointSummary {
        CheckpointSummary::of(self)
    }
}

/// What the names say, of the model or, where no part of SAM is among them, of the whole file.
fn foreign_model(
    entries: &[Entry],
    wanted: &[(usize, String)],
    layout: KeyLayout,
) -> Option<ForeignModel> {
    let rank = |index: usize| entries.get(index).map_or(0, |e| e.shape.len());
    let own = wanted.iter().map(|(index, name)| Named { name, rank: rank(*index) });
    let own: Vec<Named<'_>> = own.collect();
    // SAM 2's mask decoder and SAMed's updates stand outside the parts that are SAM's.
    let all = entries.iter().map(|e| Named { name: &e.name, rank: e.shape.len() });
    let all: Vec<Named<'_>> = own.iter().copied().chain(all.filter(is_beside_parts)).collect();
    foreign::recognise(&all, layout)
}

fn is_beside_parts(tensor: &Named<'_>) -> bool {
    names::split_at_part(tensor.name).is_none()
}

/// Refuses parameters that are no floating point numbers.
fn check_types(path: &Path, entries: &[Entry], wanted: &[(usize, String)]) -> Result<()> {
    let named = |entry: &Entry, found: &str| Error::TensorType {
        path: path.to_owned(),
        name: entry.name.clone(),
        found: found.to_owned(),
    };
    for entry in wanted.iter().filter_map(|(index, _)| entries.get(*index)) {
        match &entry.element {
            ElementType::Float(_) => {}
            ElementType::Other(found) => return Err(named(entry, found)),
            ElementType::Unreadable(why) => {
                let reason = format!(
                    "tensor {} {why}, which is not read here; save plain tensors: \
                     torch.save({{k: v.detach().float().cpu() for k, v in state_dict.items()}}, path)",
                    entry.name
                );
                return Err(Error::checkpoint(path, reason));
            }
        }
    }
    let other = entries.iter().find_map(|e| match &e.element {
        ElementType::Other(found) => Some(named(e, found)),
        _ => None,
    });
    match other {
        Some(error) if wanted.is_empty() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_checkpoints_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes, expected) in [
            ("empty.pth", &b""[..], "empty"),
            ("text.safetensors", &b"hello, this is text"[..], "starts neither"),
            (
                "old.pth",
                &b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."[..],
                "before version 1.6",
            ),
            ("cut.pth", &b"PK\x03\x04\0\0\0\0\0\0\0\0\0"[..], "not a checkpoint"),
            ("huge.safetensors", &b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"[..], "header"),
            ("short.safetensors", &b"\x40\0\0\0\0\0\0\0{}"[..], "header"),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = Checkpoint::open(&path).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(expected), "{name}: {error}");
        }
        let absent = Checkpoint::open(dir.path().join("absent.pth")).unwrap_err().to_string();
        assert!(absent.contains("absent.pth"), "{absent}");
        let folder = Checkpoint::open(dir.path()).unwrap_err().to_string();
        assert!(folder.contains("holds no weights"), "{folder}");
    }
}
