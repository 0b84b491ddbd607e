//! File names of a `.hdr`/`.img` pair.

use crate::voxels::{ends_with, with_ending};
use std::path::{Path, PathBuf};

/// Endings of the header and of the voxels of a pair.
const ENDINGS: [(&str, &str); 2] = [(".hdr", ".img"), (".hdr.gz", ".img.gz")];

/// The header file of an image, and the voxel file if it is a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PairPaths {
    pub(super) header: PathBuf,
    /// `None` for a name that is not one of a pair's.
    pub(super) voxels: Option<PathBuf>,
}

impl PairPaths {
    /// From either name of a pair, or the one name of a single file. The twin's letters are of the
    /// case of the name that was given; of a packed and an unpacked twin the first that is there.
    pub(super) fn of(path: &Path) -> Self {
        for (header, voxels) in ENDINGS {
            if ends_with(path, header) {
                let twin = twin(path, header, [".img", ".img.gz"], voxels);
                return Self { header: path.to_path_buf(), voxels: Some(twin) };
            }
            if ends_with(path, voxels) {
                let twin = twin(path, voxels, [".hdr", ".hdr.gz"], header);
                return Self { header: twin, voxels: Some(path.to_path_buf()) };
            }
        }
        Self { header: path.to_path_buf(), voxels: None }
    }
}

fn twin(path: &Path, ending: &str, choices: [&str; 2], usual: &str) -> PathBuf {
    let name = path.to_string_lossy();
    let capital = name.chars().rev().take(ending.len()).any(|c| c.is_ascii_uppercase());
    let cased = |to: &str| if capital { to.to_ascii_uppercase() } else { to.to_owned() };
    let first = with_ending(path, ending, &cased(usual));
    let there = choices.map(|to| with_ending(path, ending, &cased(to))).into_iter();
    if first.exists() { first } else { there.into_iter().find(|p| p.exists()).unwrap_or(first) }
}
