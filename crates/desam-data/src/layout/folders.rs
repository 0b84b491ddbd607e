//! Walking nested folders.

use super::entries;
use crate::{Error, Result};
use desam_volume::volumes::VolumeFormat;
use std::path::{Path, PathBuf};

/// Maximum nesting that is searched; the deepest folders of a known layout are six levels below the
/// data set.
const MAX_NESTING: usize = 8;

/// The folders in `dir`, sorted by name.
pub(super) fn folders(dir: &Path) -> Result<impl Iterator<Item = PathBuf>> {
    Ok(entries(dir)?.into_iter().filter(|p| p.is_dir()))
}

/// The same for recognising a layout: a folder that cannot be listed says nothing about it, and is
/// named as a problem when its cases are looked for.
pub(super) fn listable_folders(dir: &Path) -> Vec<PathBuf> {
    folders(dir).map(Iterator::collect).unwrap_or_default()
}

/// The folder of this name in `dir`, letters of either case.
pub(super) fn folder_named(dir: &Path, name: &str) -> Result<Option<PathBuf>> {
    let named =
        |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().eq_ignore_ascii_case(name));
    Ok(folders(dir)?.find(named))
}

/// Whether a DICOM file, by its name or its first bytes, lies in `dir` itself. Needs no DICOM
/// reader: a build without one finds the cases too, and says what it lacks when it is to read them.
pub(super) fn holds_dicom(dir: &Path) -> Result<bool> {
    let dicom = |p: &PathBuf| matches!(VolumeFormat::of(p), Ok(VolumeFormat::Dicom));
    Ok(entries(dir)?.iter().any(|p| p.is_file() && dicom(p)))
}

/// `dir` and all folders below it, each before those in it. Those that cannot be listed are among
/// them: they are a problem of who lists them next.
///
/// # Errors
/// When `dir` itself cannot be listed.
pub(super) fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    entries(dir)?;
    let mut all = vec![dir.to_path_buf()];
    add_below(dir, MAX_NESTING, &mut all);
    Ok(all)
}

fn add_below(dir: &Path, levels: usize, all: &mut Vec<PathBuf>) {
    if levels > 0 {
        for folder in listable_folders(dir) {
            all.push(folder.clone());
            add_below(&folder, levels - 1, all);
        }
    }
}

/// The one folder of DICOM files that is `dir` or below it; `None` where there is none.
///
/// # Errors
/// [`Error::DuplicateCase`] with the first two of several.
pub(super) fn series(dir: &Path, site: &str, id: &str) -> Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for folder in below(dir)? {
        if holds_dicom(&folder)? {
            found.push(folder);
        }
    }
    only(found, site, id)
}

/// The only path in `found`, if any.
///
/// # Errors
/// [`Error::DuplicateCase`] with the first two of several.
pub(super) fn only(found: Vec<PathBuf>, site: &str, id: &str) -> Result<Option<PathBuf>> {
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => {
            Err(Error::DuplicateCase { site: site.into(), id: id.into(), first, second })
        }
        (found, _) => Ok(found),
    }
}
