//! The layout of the NCI-ISBI 2013 challenge, as the Cancer Imaging Archive ships it: the images as
//! DICOM series, `…/PATIENT/STUDY/SERIES/*.dcm`, the labels as NRRD files named after the patients.
//!
//! Patients are `Prostate3T-01-0001` (Radboud UMC, 3 T: the site `RUNMC`) and `ProstateDx-01-0001`
//! (Boston Medical Center, 1.5 T: `BMC`); 01 are the training, 02 and 03 the other cases. The
//! archive's download program puts each collection into a folder `manifest-…/COLLECTION`, and the
//! labels unpack into `Training`, `Leaderboard` and `Test`; some are called `PATIENT_truth.nrrd`, one
//! `ProstateDx-01-0006_correctedLabels.nrrd`. So images and labels are looked for at any depth. The
//! forms are known from the challenge's page at the archive and from what programs that prepare it
//! say of it (NVIDIA FLARE's example on prostates among them), not from the data itself. One case
//! there, `ProstateDx-01-0055`, has fewer slices of labels than of its image: it is found, and refused
//! when its grids are compared.

use super::folders::{below, only, series};
use super::survey::{CaseFiles, Survey};
use super::{Case, entries};
use crate::Result;
use desam_volume::volumes::without_ending;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prefixes of patients' names, each with its site.
const SITES: [(&str, &str); 2] = [("Prostate3T-", "RUNMC"), ("ProstateDx-", "BMC")];
/// Digits in a patient's name: `01-0001`.
const NUMBER: usize = 7;
/// Endings of the names of labels, after the patient's name.
const LABEL_SUFFIXES: [&str; 4] = ["", "_truth", "_correctedLabels", "_segmentation"];

/// Whether a folder somewhere below `dir` is named as a patient is.
pub(super) fn is_there(dir: &Path) -> Result<bool> {
    Ok(below(dir)?.iter().any(|folder| patient_of(folder).is_some()))
}

/// Files and folders below a data set that are named after one patient.
#[derive(Debug, Default)]
struct PatientFiles {
    site: &'static str,
    /// The name as the folder of images has it.
    id: String,
    folders: Vec<PathBuf>,
    labels: Vec<PathBuf>,
}

/// All cases below `dir`.
pub(super) fn survey(dir: &Path) -> Result<Survey> {
    let mut patients = BTreeMap::<String, PatientFiles>::new();
    let mut all = Survey::default();
    for folder in below(dir)? {
        if let Some((site, id)) = patient_of(&folder) {
            let files = files_of(&mut patients, site, id.clone());
            files.folders.push(folder.clone());
            files.id = id;
        }
        let files = entries(&folder).unwrap_or_else(|problem| {
            all.problems.push(problem.into());
            Vec::new()
        });
        for file in files.into_iter().filter(|p| p.is_file()) {
            if let Some((site, id)) = label_of(&file) {
                files_of(&mut patients, site, id).labels.push(file);
            }
        }
    }
    for files in patients.into_values() {
        all.take(case(files));
    }
    Ok(all)
}

fn files_of<'a>(
    patients: &'a mut BTreeMap<String, PatientFiles>,
    site: &'static str,
    id: String,
) -> &'a mut PatientFiles {
    let new = || PatientFiles { site, id: id.clone(), ..PatientFiles::default() };
    patients.entry(id.to_lowercase()).or_insert_with(new)
}

/// One series with one label file.
fn case(files: PatientFiles) -> Result<Option<Case>> {
    let PatientFiles { site, id, folders, labels } = files;
    let mut found = Vec::new();
    for folder in &folders {
        found.extend(series(folder, site, &id)?);
    }
    let image = only(found, site, &id)?;
    let label = only(labels, site, &id)?;
    let image_name = format!("{id}/STUDY/SERIES, a folder of DICOM files");
    CaseFiles { image, label, ..CaseFiles::new(site, &id) }.pair(&image_name, &format!("{id}.nrrd"))
}

/// The site and the patient that a folder is named after.
fn patient_of(folder: &Path) -> Option<(&'static str, String)> {
    let (site, id, rest) = patient(folder.file_name()?.to_str()?)?;
    rest.is_empty().then(|| (site, id.to_owned()))
}

/// The site and the patient whose labels a file is named after.
fn label_of(file: &Path) -> Option<(&'static str, String)> {
    let (site, id, rest) = patient(without_ending(file.file_name()?.to_str()?)?)?;
    let label = LABEL_SUFFIXES.iter().any(|suffix| suffix.eq_ignore_ascii_case(rest));
    label.then(|| (site, id.to_owned()))
}

/// The site, the patient's name, and what follows it.
fn patient(name: &str) -> Option<(&'static str, &str, &str)> {
    SITES.iter().find_map(|(prefix, site)| {
        let (id, rest) = name.split_at_checked(prefix.len() + NUMBER)?;
        let (start, number) = id.split_at_checked(prefix.len())?;
        let digits = number.bytes().enumerate().all(|(at, b)| match at {
            2 => b == b'-',
            _ => b.is_ascii_digit(),
        });
        (start.eq_ignore_ascii_case(prefix) && digits).then_some((*site, id, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Layout, discover};
    use super::*;
    use crate::Error;

    /// As the download program and the archives of labels lay them out.
    const FILES: [&str; 10] = [
        "manifest-1/LICENSE",
        "manifest-1/metadata.csv",
        "manifest-1/Prostate-3T/Prostate3T-01-0002/07-08-2005-NA-MR-1/1.000000-t2/1-01.dcm",
        "manifest-1/Prostate-3T/Prostate3T-01-0002/07-08-2005-NA-MR-1/1.000000-t2/1-02.dcm",
        "manifest-2/PROSTATE-DIAGNOSIS/ProstateDx-01-0006/1/2/1-1.dcm",
        "manifest-2/PROSTATE-DIAGNOSIS/ProstateDx-03-0001/1/2/1-1.dcm",
        "Training/Prostate3T-01-0002.nrrd",
        "Training/ProstateDx-01-0006_correctedLabels.nrrd",
        "Test/PROSTATEDX-03-0001_truth.nrrd",
        "Test/ProstateDx-03-0001.txt",
    ];

    #[test]
    fn the_archives_folders() {
        let dir = tree(&FILES);
        assert_eq!(Layout::of(dir.path()).unwrap(), Layout::NciIsbi2013);
        let found = discover(dir.path()).unwrap();
        let short: Vec<_> = found.iter().map(|c| (c.site.as_str(), c.id.as_str())).collect();
        let expected = [
            ("BMC", "ProstateDx-01-0006"),
            ("BMC", "ProstateDx-03-0001"),
            ("RUNMC", "Prostate3T-01-0002"),
        ];
        assert_eq!(short, expected);
        assert_eq!(found[2].image, dir.path().join(FILES[2]).parent().unwrap());
        assert_eq!(found[2].label, Some(dir.path().join(FILES[6])));
        assert_eq!(found[0].label, Some(dir.path().join(FILES[7])));
    }

    #[test]
    fn what_is_ambiguous_is_named() {
        let and = |more: &[&str]| {
            let dir = tree(&[&FILES[..], more].concat());
            Layout::NciIsbi2013.survey(dir.path()).unwrap()
        };
        // Another series, the patient once more, two files of labels.
        for twin in [
            "manifest-1/Prostate-3T/Prostate3T-01-0002/07-08-2005-NA-MR-1/2.000000-t2/1-01.dcm",
            "manifest-3/Prostate-3T/Prostate3T-01-0002/1/2/1-01.dcm",
            "Training/Prostate3T-01-0002_truth.nrrd",
        ] {
            let found = and(&[twin]);
            assert_eq!((found.cases.len(), found.problems.len()), (2, 1), "{twin}: {found:?}");
            let Error::DuplicateCase { id, .. } = &found.problems[0] else {
                panic!("{twin}: {found:?}")
            };
            assert_eq!(id, "Prostate3T-01-0002");
        }
        // Halves of two cases; a folder of another name.
        let found = and(&[
            "Training/Prostate3T-01-0009.nrrd",
            "manifest-1/Prostate-3T/Prostate3T-01-0010/1/2/1.dcm",
            "manifest-1/Prostate-3T/Prostate3T-1-10/1/2/1.dcm",
        ]);
        assert_eq!((found.cases.len(), found.problems.len()), (3, 2), "{found:?}");
        let text = found.problems.iter().map(Error::to_string).collect::<Vec<_>>().join("\n");
        assert!(text.contains("Prostate3T-01-0010.nrrd"), "{text}");
        assert!(text.contains("Prostate3T-01-0009/STUDY/SERIES"), "{text}");
    }

    #[test]
    fn other_names_are_no_patients() {
        for name in ["Prostate3T", "Prostate3T-01-00", "Prostate3T-01_0001", "ProstateX-0000", "ä"]
        {
            assert_eq!(patient(name), None, "{name}");
        }
        let expected = Some(("BMC", "prostatedx-02-0031", "_x"));
        assert_eq!(patient("prostatedx-02-0031_x"), expected);
    }
}
