//! The layout of the MaxStyle release: `SITE/patient_N/t2_img_clipped.nii.gz` with
//! `label_clipped.nii.gz`.

use super::folders::{folders, listable_folders, only};
use super::survey::{CaseFiles, Survey};
use super::{Case, entries, name_of};
use crate::Result;
use desam_volume::volumes::ReadOptions;
use std::path::{Path, PathBuf};

const IMAGE: &str = "t2_img_clipped";
const LABEL: &str = "label_clipped";

/// Whether a patient's folder of this layout is two levels below `dir`.
pub(super) fn is_there(dir: &Path, read: &ReadOptions) -> Result<bool> {
    for site in folders(dir)? {
        let holds_image =
            |patient: &PathBuf| files(patient, IMAGE, read).is_ok_and(|f| !f.is_empty());
        if listable_folders(&site).iter().any(holds_image) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All cases under `dir`; a patient's folder names the case.
pub(super) fn survey(dir: &Path, read: &ReadOptions) -> Result<Survey> {
    let mut all = Survey::default();
    for site in folders(dir)? {
        match folders(&site) {
            Ok(patients) => patients.for_each(|patient| all.take(case(&site, &patient, read))),
            Err(problem) => all.problems.push(problem),
        }
    }
    Ok(all)
}

fn case(site: &Path, patient: &Path, read: &ReadOptions) -> Result<Option<Case>> {
    let (site, id) = (name_of(site)?, name_of(patient)?);
    let one = |name| only(files(patient, name, read)?, &site, &id);
    let found = CaseFiles { image: one(IMAGE)?, label: one(LABEL)?, ..CaseFiles::new(&site, &id) };
    found.pair("t2_img_clipped.nii.gz", "label_clipped.nii.gz")
}

/// Volumes named so, whatever their format; letters of either case.
fn files(folder: &Path, name: &str, read: &ReadOptions) -> Result<Vec<PathBuf>> {
    let named = |path: &PathBuf| {
        let file = path.file_name().and_then(|n| n.to_str());
        let stem = file.and_then(|file| read.without_ending(file));
        stem.is_some_and(|s| s.eq_ignore_ascii_case(name)) && path.is_file()
    };
    Ok(entries(folder)?.into_iter().filter(named).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Layout, discover};
    use crate::Error;

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
