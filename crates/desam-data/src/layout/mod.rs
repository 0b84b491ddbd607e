//! Where the cases of a multi-site data set lie on the disk.
//!
//! Each layout in the wild is a file of its own here and a value of [`Layout`].

mod names;
mod saml;

use crate::{Error, Result};
use names::VolumeName;
use std::path::{Path, PathBuf};

/// One patient's volume and its ground truth.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The site it comes from, as its folder is named.
    pub site: String,
    /// The case within the site, as its file is named.
    pub id: String,
    /// The image volume.
    pub image: PathBuf,
    /// The ground truth, where there is one.
    #[serde(default)]
    pub label: Option<PathBuf>,
}

/// The ways a data set may be laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layout {
    /// `SITE/CaseXX.nii.gz` beside `SITE/CaseXX_segmentation.nii.gz`, as the SAML release of the
    /// six prostate sites has it.
    Saml,
}

impl Layout {
    /// All cases under `dir`, by site, then by id.
    ///
    /// # Errors
    /// As [`discover`].
    pub fn cases(self, dir: &Path) -> Result<Vec<Case>> {
        match self {
            Self::Saml => saml::cases(dir),
        }
    }
}

/// Finds the cases of a data set: folders `SITE/` that hold `CaseXX.nii.gz` and
/// `CaseXX_segmentation.nii.gz` (or `.nii`; letters of either case), by site, then by id. Hidden
/// files, other files and folders without volumes are passed over.
///
/// # Errors
/// [`Error::NoSites`] when there is nothing to find, [`Error::MissingLabel`],
/// [`Error::MissingImage`] and [`Error::DuplicateCase`] when a case is not one image with one
/// label, [`Error::Io`] when a folder cannot be listed.
pub fn discover(dir: &Path) -> Result<Vec<Case>> {
    Layout::Saml.cases(dir)
}

/// The image volumes in `dir` itself, to segment: sorted by name, without hidden files, without
/// label files (`*_segmentation.nii.gz`) and without looking into folders. May be empty.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be listed.
pub fn list_volumes(dir: &Path) -> Result<Vec<PathBuf>> {
    let is_image = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).and_then(VolumeName::parse);
        name.is_some_and(|n| !n.is_label) && path.is_file()
    };
    Ok(entries(dir)?.into_iter().filter(is_image).collect())
}

/// What lies in `dir`, hidden entries left out, sorted by name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_to_segment() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "b.nii.gz",
            "A.NII",
            "a.nii.gz",
            "b_Segmentation.nii.gz",
            ".b.nii.gz",
            "notes.txt",
            "x.gz",
            ".nii",
        ] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        std::fs::create_dir(dir.path().join("folder.nii")).unwrap();
        let found = list_volumes(dir.path()).unwrap();
        let names: Vec<_> =
            found.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["A.NII", "a.nii.gz", "b.nii.gz"]);
        assert!(matches!(list_volumes(&dir.path().join("none")), Err(Error::Io { .. })));
    }
}
