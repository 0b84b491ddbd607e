//! The layout of PROMISE12: `CaseXX.mhd` beside `CaseXX_segmentation.mhd`, all in one folder or in
//! the folders of the download's parts. Which of the four hospitals a case is from is not told, so
//! that all are one site.

use super::folders::folders;
use super::survey::Survey;
use super::{entries, looks_like, name_of, saml};
use crate::{Error, Result};
use desam_volume::volumes::ReadOptions;
use std::path::{Path, PathBuf};

/// The site of a data set whose folder of parts says nothing.
const SITE: &str = "PROMISE12";
/// Prefix of the names of the download's folders.
const PART: &str = "trainingdata_part";

/// Whether `dir` holds volumes itself, or parts of the download and nothing else that is a folder.
pub(super) fn is_there(dir: &Path, read: &ReadOptions) -> Result<bool> {
    Ok(holds_labels(dir, read)? || !parts(dir)?.is_empty())
}

/// Whether files named as labels lie in `dir` itself.
fn holds_labels(dir: &Path, read: &ReadOptions) -> Result<bool> {
    let label = |path: &PathBuf| looks_like(path, read, |name| name.is_label) && path.is_file();
    Ok(entries(dir)?.iter().any(label))
}

/// All cases in `dir`, or in its parts.
pub(super) fn survey(dir: &Path, read: &ReadOptions) -> Result<Survey> {
    let parts = parts(dir)?;
    if parts.is_empty() {
        let whole = std::path::absolute(dir).map_err(Error::io("find", dir))?;
        let mut all = saml::paired(dir, &name_of(&whole)?, read)?;
        // Next to folders of sites, a stray pair of files would be taken for the whole data set.
        for folder in folders(dir)? {
            match holds_labels(&folder, read) {
                Ok(false) => {}
                Ok(true) => {
                    let (dir, folder) = (dir.to_path_buf(), name_of(&folder)?);
                    all.problems.insert(0, Error::MixedLayout { dir, folder });
                    break;
                }
                Err(problem) => all.problems.push(problem),
            }
        }
        return Ok(all);
    }
    let mut all = Survey::default();
    for part in parts {
        all.take_all(saml::paired(&part, SITE, read));
    }
    Ok(all)
}

fn parts(dir: &Path) -> Result<Vec<PathBuf>> {
    let folders: Vec<PathBuf> = folders(dir)?.collect();
    let part = |p: &PathBuf| {
        let name = p.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase());
        name.is_some_and(|n| n.starts_with(PART))
    };
    Ok(if folders.iter().all(part) { folders } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Layout, discover};
    use super::*;

    #[test]
    fn one_folder_or_parts() {
        let dir = tree(&[
            "Case00.mhd",
            "Case00.raw",
            "Case00_segmentation.mhd",
            "Case00_segmentation.raw",
        ]);
        assert_eq!(Layout::of(dir.path()).unwrap(), Layout::Promise12);
        let found = discover(dir.path()).unwrap();
        let name = dir.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(
            (found.len(), found[0].site.as_str(), found[0].id.as_str()),
            (1, name, "Case00")
        );
        let dir = tree(&[
            "TrainingData_Part2/Case17.mhd",
            "TrainingData_Part2/Case17_segmentation.mhd",
            "TrainingData_Part1/Case00.mhd",
            "TrainingData_Part1/Case00_segmentation.mhd",
        ]);
        let found = discover(dir.path()).unwrap();
        let short: Vec<_> = found.iter().map(|c| (c.site.as_str(), c.id.as_str())).collect();
        assert_eq!(short, [("PROMISE12", "Case00"), ("PROMISE12", "Case17")]);
        // Images to be segmented lie in a separate folder; sites are another layout.
        let pair = ["Case00.mhd", "Case00_segmentation.mhd"];
        let dir = tree(&[&pair[..], &["TestData/Case50.mhd"]].concat());
        assert_eq!(discover(dir.path()).unwrap().len(), 1);
        let dir = tree(&[&pair[..], &["BMC/Case00_segmentation.nii.gz"]].concat());
        match discover(dir.path()) {
            Err(Error::MixedLayout { folder, .. }) => assert_eq!(folder, "BMC"),
            other => panic!("{other:?}"),
        }
        let dir = tree(&["Case00.mhd", "Case01_segmentation.mhd"]);
        assert!(matches!(discover(dir.path()), Err(Error::MissingLabel { .. })));
    }
}
