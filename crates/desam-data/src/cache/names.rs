//! Where things lie in a cache, and what may be a name there.

use crate::{Error, Result};
use desam_core::files::open_regular;
use std::path::{Path, PathBuf};

/// Whether `name` is one component of a path on any system, and not a hidden one.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let odd = |c: char| c.is_control() || r#"/\:*?"<>|"#.contains(c);
    !name.is_empty() && !name.starts_with('.') && !name.chars().any(odd)
}

/// The files of one cache.
#[derive(Debug, Clone)]
pub(crate) struct CachePaths {
    dir: PathBuf,
}

impl CachePaths {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn header(&self) -> PathBuf {
        self.dir.join("cache.json")
    }

    /// Where the parts of a run leave their notes until all are done.
    pub(crate) fn parts(&self) -> PathBuf {
        self.dir.join("parts")
    }

    pub(crate) fn part(&self, index: usize, of: usize) -> PathBuf {
        self.parts().join(format!("{index}-of-{of}.json"))
    }

    pub(crate) fn case(&self, site: &str, id: &str) -> PathBuf {
        self.dir.join("cases").join(site).join(format!("{id}.safetensors"))
    }

    pub(crate) fn slice(&self, site: &str, id: &str, z: usize) -> PathBuf {
        self.dir.join("features").join(site).join(id).join(format!("z{z:04}.safetensors"))
    }
}

/// Makes the folder that `path` will lie in.
pub(crate) fn make_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent).map_err(Error::io("create", parent)),
        None => Ok(()),
    }
}

/// BLAKE3 of a file, in hexadecimal, read piece by piece: what seals and manifests name files by.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read.
pub fn hash_file(path: &Path) -> Result<String> {
    let file = open_regular(path).map_err(Error::io("read", path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(Error::io("read", path))?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_cache() {
        for good in ["A", "Case00", "A-ISBI_1.5", "patient 3", "Prostata-Fall-ü"] {
            assert!(is_plain_name(good), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "c:", "a\0b", "new\nline"] {
            assert!(!is_plain_name(bad), "{bad:?}");
        }
    }
}
