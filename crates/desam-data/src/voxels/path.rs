//! Names of files that belong together.

use std::path::{Path, PathBuf};

/// The file's name; nothing where it has none or it is not UTF-8.
pub(crate) fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|n| n.to_str()).unwrap_or_default()
}

/// Whether the file's name ends so, without regard to the case of ASCII letters, and has something
/// before it.
pub(crate) fn ends_with(path: &Path, ending: &str) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase());
    name.is_some_and(|n| n.len() > ending.len() && n.ends_with(ending))
}

/// `path` with `from` at its end, in letters of either case, replaced by `to`.
pub(crate) fn with_ending(path: &Path, from: &str, to: &str) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.len().checked_sub(from.len()).and_then(|at| name.get(..at));
    path.with_file_name(format!("{}{to}", stem.unwrap_or(&name)))
}

/// The file that a header names, beside the header where the name is not a whole path.
pub(crate) fn data_file(header: &Path, name: &str) -> PathBuf {
    header.parent().unwrap_or(Path::new("")).join(name)
}
