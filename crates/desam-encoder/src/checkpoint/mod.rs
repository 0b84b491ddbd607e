//! Checkpoints: whatever the file and its key layout, tensors in f32 under the official names.

mod convert;
mod hash;
mod layout;
mod pth;
mod safetensors;
mod summary;
mod write;

pub use hash::weights_hash;
pub use layout::KeyLayout;
pub use summary::{CheckpointPart, CheckpointSummary};
pub use write::{write, write_f16};

use crate::{Error, Result};
use desam_core::files::open_regular;
use desam_nn::params::Tensors;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A checkpoint in memory.
#[derive(Debug, Clone)]
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
}

/// Tensors and metadata as a reader found them, names as in the file.
struct Raw {
    tensors: Tensors,
    metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Reads a `.safetensors` file, or a `.pth`, `.pt` or `.bin` that PyTorch saved as a zip. What
    /// a file is, is read from its first bytes, not from its name: files of a download cache have
    /// none.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, is of PyTorch's old format, holds tensors that are
    /// no floating point, or two keys of one parameter disagree.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let raw = match kind(path)? {
            Kind::Zip => pth::read(path)?,
            Kind::Safetensors => safetensors::read(path)?,
            Kind::LegacyPickle => {
                return Err(Error::LegacyPickle { path: path.to_owned() });
            }
            Kind::Unknown => {
                let reason = "it starts neither like .safetensors nor like a zip of PyTorch";
                return Err(Error::checkpoint(path, reason));
            }
        };
        Self::of(path, raw)
    }

    /// Reads the bytes of a `.safetensors` file, which is called `path` in errors.
    ///
    /// # Errors
    /// When they are no such file, or damaged.
    pub(crate) fn from_safetensors(path: &Path, bytes: &[u8]) -> Result<Self> {
        Self::of(path, safetensors::read_from(path, bytes, bytes.len() as u64)?)
    }

    fn of(path: &Path, raw: Raw) -> Result<Self> {
        let (layout, tensors) = layout::to_official(path, raw.tensors)?;
        Ok(Self { path: path.to_owned(), tensors, metadata: raw.metadata, layout })
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

/// What the first bytes say.
enum Kind {
    Zip,
    Safetensors,
    LegacyPickle,
    Unknown,
}

fn kind(path: &Path) -> Result<Kind> {
    let mut start = Vec::new();
    let file = open_regular(path).map_err(Error::io(path))?;
    file.take(9).read_to_end(&mut start).map_err(Error::io(path))?;
    Ok(match start.as_slice() {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Kind::Zip,
        // Eight bytes of header length, then JSON.
        [_, _, _, _, _, _, _, _, b'{'] => Kind::Safetensors,
        // Protocol 2 up to 5 of Python's pickle.
        [0x80, 2..=5, ..] => Kind::LegacyPickle,
        _ => Kind::Unknown,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_checkpoints_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes, expected) in [
            ("empty.pth", &b""[..], "starts neither"),
            ("text.safetensors", &b"hello, this is text"[..], "starts neither"),
            ("old.pth", &b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9"[..], "before version 1.6"),
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
    }
}
