//! The layout of I2CVB's prostate data: `SCANNER/Patient NNN/T2W/*.dcm` with the labels of the gland
//! in `SCANNER/Patient NNN/GT/prostate/*.dcm`, a DICOM series too.
//!
//! `SCANNER` is `GE` (1.5 T) or `Siemens` (3 T), as the two archives unpack, and names the site; where
//! patients lie in the data set itself, its own folder does. Beside `T2W` lie other sequences, beside
//! `prostate` the labels of its zones and of cancer: they are passed over. The forms are known from
//! programs that read the data (its authors' protoclass, NVIDIA FLARE's example on prostates), not
//! from the data itself. One patient there, 428260, lacks a slice of labels: the series is refused
//! when it is read.

use super::folders::{below, folder_named, series};
use super::survey::{CaseFiles, Survey};
use super::{Case, name_of};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Folder of the sequence that is segmented.
const IMAGE: &str = "T2W";
/// Folder of the labels, and the one in it for the whole gland.
const LABELS: [&str; 2] = ["GT", "prostate"];

/// Whether a patient's folder with image and labels is somewhere below `dir`.
pub(super) fn is_there(dir: &Path) -> Result<bool> {
    for folder in below(dir)? {
        let there = |found: Result<Option<PathBuf>>| found.is_ok_and(|folder| folder.is_some());
        if there(folder_named(&folder, IMAGE)) && there(labels(&folder)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All cases below `dir`.
pub(super) fn survey(dir: &Path) -> Result<Survey> {
    let mut all = Survey::default();
    for folder in below(dir)? {
        all.take(case(&folder));
    }
    Ok(all)
}

/// The case that a folder is, if it is one.
fn case(folder: &Path) -> Result<Option<Case>> {
    let (image, label) = (folder_named(folder, IMAGE)?, labels(folder)?);
    if image.is_none() && label.is_none() {
        return Ok(None);
    }
    let whole = std::path::absolute(folder).map_err(Error::io("find", folder))?;
    let id = name_of(folder)?;
    let site = whole.parent().map(name_of).transpose()?.unwrap_or_default();
    let one = |dir: Option<PathBuf>| match dir {
        Some(dir) => series(&dir, &site, &id),
        None => Ok(None),
    };
    let found = CaseFiles { image: one(image)?, label: one(label)?, ..CaseFiles::new(&site, &id) };
    found.pair("T2W, a folder of DICOM files", "GT/prostate, a folder of DICOM files")
}

fn labels(patient: &Path) -> Result<Option<PathBuf>> {
    let mut folder = Some(patient.to_path_buf());
    for name in LABELS {
        folder = match folder {
            Some(folder) => folder_named(&folder, name)?,
            None => None,
        };
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Layout, discover};
    use super::*;

    const FILES: [&str; 8] = [
        "GE/Patient 1036/T2W/MR1.dcm",
        "GE/Patient 1036/T2W/MR2.dcm",
        "GE/Patient 1036/DWI/MR1.dcm",
        "GE/Patient 1036/GT/prostate/1.dcm",
        "GE/Patient 1036/GT/cap/1.dcm",
        "Siemens/Patient_383/t2w/1/MR1.dcm",
        "Siemens/Patient_383/GT/Prostate/1.dcm",
        "Siemens/notes.txt",
    ];

    #[test]
    fn the_scanners_are_the_sites() {
        let dir = tree(&FILES);
        assert_eq!(Layout::of(dir.path()).unwrap(), Layout::I2cvb);
        let found = discover(dir.path()).unwrap();
        let short: Vec<_> = found.iter().map(|c| (c.site.as_str(), c.id.as_str())).collect();
        assert_eq!(short, [("GE", "Patient 1036"), ("Siemens", "Patient_383")]);
        assert_eq!(found[0].image, dir.path().join("GE/Patient 1036/T2W"));
        assert_eq!(found[0].label, Some(dir.path().join("GE/Patient 1036/GT/prostate")));
        assert_eq!(found[1].image, dir.path().join("Siemens/Patient_383/t2w/1"));
        // One scanner alone.
        let found = discover(&dir.path().join("GE")).unwrap();
        assert_eq!((found.len(), found[0].site.as_str()), (1, "GE"));
    }

    #[test]
    fn halves_and_twins_are_named() {
        let dir = tree(
            &[
                &FILES[..],
                &[
                    "GE/Patient 1041/T2W/1.dcm",
                    "GE/Patient 1042/GT/prostate/1.dcm",
                    "GE/Patient 1043/T2W/1.dcm",
                    "GE/Patient 1043/T2W/again/1.dcm",
                    "GE/Patient 1043/GT/prostate/1.dcm",
                ],
            ]
            .concat(),
        );
        let found = Layout::I2cvb.survey(dir.path()).unwrap();
        assert_eq!((found.cases.len(), found.problems.len()), (2, 3), "{found:?}");
        assert!(
            matches!(&found.problems[0], Error::MissingLabel { id, .. } if id == "Patient 1041")
        );
        assert!(
            matches!(&found.problems[1], Error::MissingImage { id, .. } if id == "Patient 1042")
        );
        assert!(
            matches!(&found.problems[2], Error::DuplicateCase { id, .. } if id == "Patient 1043")
        );
    }
}
