//! Checkpoints: loading of any supported file format and key layout to f32 tensors under the official
//! names, and atomic writing.

mod convert;
mod entry;
mod file_format;
mod files;
mod finite;
mod hash;
mod layout;
mod names;
mod pickle;
mod safetensors;
mod select;
mod source;
mod summary;
mod torch;
mod unsupported;
mod write;

pub use files::{files, is_model_folder};
pub use hash::weights_hash;
pub use layout::KeyLayout;
pub use summary::{CheckpointPart, CheckpointSummary};
pub use unsupported::UnsupportedModel;
pub use write::{write, write_f16};

use crate::{Error, Result};
use desam_nn::params::Tensors;
use entry::{ElementType, Entry};
use files::Files;
use layout::LoadedTensor;
use select::{Selection, is_counter, select};
use source::Sources;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use unsupported::TensorName;

/// A checkpoint in memory.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The file or folder it was loaded from.
    pub path: PathBuf,
    /// All tensors, f32 on the CPU, by official name (`image_encoder.*`, `prompt_encoder.*`,
    /// `mask_decoder.*`, `mask_decoder.pimm.*`); unknown names are kept.
    pub tensors: Tensors,
    /// Metadata of a `.safetensors` file; empty for `.pth`.
    pub metadata: BTreeMap<String, String>,
    /// Key layout of the file.
    pub layout: KeyLayout,
    /// The model, where its names identify another one than SAM or DeSAM.
    pub unsupported: Option<UnsupportedModel>,
    /// Notes on the tensors that were selected and skipped, such as prefixes of the names, or the
    /// state of a random number generator. One line each.
    pub notes: Vec<String>,
    /// Choices that affect results: which of several copies of the model was loaded.
    pub warnings: Vec<String>,
}

impl Checkpoint {
    /// Loads a `.safetensors` file; a `.pth`, `.pt` or `.bin` that PyTorch saved as a zip; the
    /// shards of a `….index.json`; or the weights in a folder that transformers saved. The format is
    /// detected from the first bytes, not from the name: files of a download cache have no extension.
    ///
    /// Prefixes that training programs add to the parameters' names are removed, and what they store
    /// in addition to a model (optimizer, scores) is skipped; see [`notes`](Self::notes).
    ///
    /// # Errors
    /// When a file cannot be read, is damaged or in PyTorch's legacy format; when parameters are not
    /// floating point, are NaN or infinite; or when two keys of one parameter disagree.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let files = Files::of(path)?;
        Self::of(path, Sources::open(&files)?)
    }

    /// Loads a file of [`write()`] with all names unchanged and nothing skipped, such as a training
    /// state, which is more than a model.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged, or a tensor is not floating point.
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
        let (unsupported, notes, warnings) = (None, Vec::new(), Vec::new());
        Ok(Self { path: path.to_owned(), tensors, metadata, layout, unsupported, notes, warnings })
    }

    /// Loads a `.safetensors` file in memory, which is called `path` in errors.
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
        // From the selected names alone: other tensors of the file may be in any layout.
        let layout = layout::detect(wanted.iter().map(|(_, name)| name.as_str()));
        let unsupported = unsupported_model(&entries, &wanted, layout);
        let counters = wanted.len();
        wanted.retain(|(_, name)| !is_counter(name));
        let counters = counters - wanted.len();
        if counters > 0 {
            notes.push(format!("not read, no parameters: {counters} counters of batches"));
        }
        // In other models a parameter of that name is reported as unexpected.
        if wanted.iter().any(|(_, name)| name.starts_with(unsupported::MOBILE_SAM)) {
            let all = wanted.len();
            wanted.retain(|(_, name)| !names::is_classification_head(name));
            if wanted.len() < all {
                notes
                    .push("not read, not used: the image encoder's classification head".to_owned());
            }
        }
        // An unsupported model is described, not loaded; its integer tensors are no error.
        let is_float = |index: usize| {
            entries.get(index).is_some_and(|e| matches!(e.element, ElementType::Float(_)))
        };
        if unsupported.is_some() {
            wanted.retain(|(index, _)| is_float(*index));
        }
        check_types(path, &entries, &wanted)?;
        let mut names: BTreeMap<usize, String> = wanted.into_iter().collect();
        let indices: Vec<usize> = names.keys().copied().collect();
        let mut read = Vec::with_capacity(indices.len());
        sources.load(&indices, &mut |index, tensor| {
            let key = entries.get(index).map(|e| e.name.clone()).unwrap_or_default();
            let name = names.remove(&index).unwrap_or_else(|| key.clone());
            // No computation uses tensors of other names; those may hold anything.
            if names::split_at_part(&name).is_some() || names::is_beside_parts(&name) {
                finite::check_finite(path, &key, &tensor)?;
            }
            read.push(LoadedTensor { key, name, tensor });
            Ok(())
        })?;
        let tensors = layout::to_official(path, layout, read)?;
        let metadata = sources.metadata();
        Ok(Self { path: path.to_owned(), tensors, metadata, layout, unsupported, notes, warnings })
    }

    /// Refuses the weights of an unsupported model.
    ///
    /// # Errors
    /// [`Error::UnsupportedModel`], which names the model.
    pub fn expect_sam(&self) -> Result<()> {
        let Some(found) = &self.unsupported else {
            return Ok(());
        };
        let advice = match found.advice {
            "" => String::new(),
            advice => format!("; {advice}"),
        };
        Err(Error::UnsupportedModel {
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
    /// When a tensor cannot be copied to the host.
    pub fn weights_hash(&self, prefixes: &[&str]) -> Result<String> {
        weights_hash(&self.tensors, prefixes)
    }

    /// Summary of its contents.
    pub fn summary(&self) -> CheckpointSummary {
        CheckpointSummary::of(self)
    }
}

/// Recognises an unsupported model by the selected names or, where none is a part of SAM, by all.
fn unsupported_model(
    entries: &[Entry],
    wanted: &[(usize, String)],
    layout: KeyLayout,
) -> Option<UnsupportedModel> {
    let rank = |index: usize| entries.get(index).map_or(0, |e| e.shape.len());
    let own = wanted.iter().map(|(index, name)| TensorName { name, rank: rank(*index) });
    let own: Vec<TensorName<'_>> = own.collect();
    // SAM 2's mask decoder and SAMed's updates are outside SAM's parts.
    let all = entries.iter().map(|e| TensorName { name: &e.name, rank: e.shape.len() });
    let all: Vec<TensorName<'_>> =
        own.iter().copied().chain(all.filter(is_outside_parts)).collect();
    unsupported::recognise(&all, layout)
}

fn is_outside_parts(tensor: &TensorName<'_>) -> bool {
    names::split_at_part(tensor.name).is_none()
}

/// Refuses parameters that are not floating point.
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
    // Where nothing was selected, the type of what the file does hold is the likeliest reason.
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
            ("cut.pth", &b"PK\x03\x04\0\0\0\0\0\0\0\0\0"[..], "read as a checkpoint"),
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
