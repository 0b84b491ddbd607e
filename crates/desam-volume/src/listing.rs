//! Listing folders.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The entries of a directory, sorted by name, without hidden ones.
///
/// # Errors
/// [`Error::Io`] when it cannot be listed.
pub fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}
