//! The layout of the MaxStyle release: `SITE/patient_N/t2_img_clipped.nii.gz` with
//! `label_clipped.nii.gz`.

use super::{Case, entries, name_of};
use crate::volumes::without_ending;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

const IMAGE: &str = "t2_img_clipped";
const LABEL: &str = "label_clipped";

/// Whether a patient's folder of this layout is two levels below `dir`.
pub(super) fn is_there(dir: &Path) -> Result<bool> {
    for site in folders(dir)? {
        for patient in folders(&site)? {
            if !files(&patient, IMAGE)?.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// All cases under `dir`; a patient's folder names the case.
pub(super) fn cases(dir: &Path) -> Result<Vec<Case>> {
    let mut all = Vec::new();
    for folder in folders(dir)? {
        let site = name_of(&folder)?;
        for patient in folders(&folder)? {
            let id = name_of(&patient)?;
            let one = |name| only(files(&patient, name)?, &site, &id);
            match (one(IMAGE)?, one(LABEL)?) {
                (Some(image), Some(label)) => {
                    all.push(Case { site: site.clone(), id, image, label: Some(label) });
                }
                (Some(image), None) => return Err(Error::MissingLabel { site, id, image }),
                (None, Some(label)) => return Err(Error::MissingImage { site, id, label }),
                (None, None) => {}
            }
        }
    }
    Ok(all)
}

fn folders(dir: &Path) -> Result<impl Iterator<Item = PathBuf>> {
    Ok(entries(dir)?.into_iter().filter(|p| p.is_dir()))
}

/// Volumes named so, whatever their format; letters of either case.
fn files(folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let named = |path: &PathBuf| {
        let file = path.file_name().and_then(|n| n.to_str());
        let stem = file.and_then(without_ending);
        stem.is_some_and(|s| s.eq_ignore_ascii_case(name)) && path.is_file()
    };
    Ok(entries(folder)?.into_iter().filter(named).collect())
}

fn only(mut found: Vec<PathBuf>, site: &str, id: &str) -> Result<Option<PathBuf>> {
    match (found.pop(), found.pop()) {
        (Some(second), Some(first)) => {
            Err(Error::DuplicateCase { site: site.into(), id: id.into(), first, second })
        }
        (found, _) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Layout, discover};
    use super::*;

    #[test]
    fn a_folder_a_patient() {
        let dir = tree(&[
            "B-ISBI_1.5/patient_1/t2_img_clipped.nii.gz",
            "B-ISBI_1.5/patient_1/label_clipped.nii.gz",
            "A-ISBI/patient_0/t2_img_clipped.nii.gz",
            "A-ISBI/patient_0/Label_Clipped.nii.gz",
            "A-ISBI/patient_0/readme.txt",
            "A-ISBI/empty/notes.txt",
        ]);
        assert_eq!(Layout::of(dir.path()).unwrap(), Layout::MaxStyle);
        let found = discover(dir.path()).unwrap();
        let short: Vec<_> = found.iter().map(|c| (c.site.as_str(), c.id.as_str())).collect();
        assert_eq!(short, [("A-ISBI", "patient_0"), ("B-ISBI_1.5", "patient_1")]);
        assert_eq!(
            found[1].label,
            Some(dir.path().join("B-ISBI_1.5/patient_1/label_clipped.nii.gz"))
        );
        let dir = tree(&["A/p/t2_img_clipped.nii.gz"]);
        assert!(matches!(discover(dir.path()), Err(Error::MissingLabel { .. })));
        let dir = tree(&[
            "A/p/t2_img_clipped.nii.gz",
            "A/p/label_clipped.nii.gz",
            "A/p/label_clipped.mha",
        ]);
        assert!(matches!(discover(dir.path()), Err(Error::DuplicateCase { .. })));
    }
}
