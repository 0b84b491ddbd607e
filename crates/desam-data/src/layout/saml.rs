//! The layout of the SAML release: `SITE/CaseXX.nii.gz`, `SITE/CaseXX_segmentation.nii.gz`; and
//! pairs of files by name in general.

use super::folders::folders;
use super::survey::{CaseFiles, Survey};
use super::{entries, looks_like, name_of, names::VolumeName};
use crate::{Error, Result};
use desam_volume::volumes::ReadOptions;
use std::collections::BTreeMap;
use std::path::Path;

/// All cases under `dir`.
pub(super) fn survey(dir: &Path, read: &ReadOptions) -> Result<Survey> {
    let mut all = Survey::default();
    for folder in folders(dir)? {
        match name_of(&folder) {
            Ok(site) => all.take_all(paired(&folder, &site, read)),
            // Does not matter if it holds no volume.
            Err(problem) => match entries(&folder) {
                Ok(files) if !files.iter().any(|f| looks_like(f, read, |_| true)) => {}
                _ => all.problems.push(problem),
            },
        }
    }
    Ok(all)
}

/// The images in `folder` itself, each with the label file beside it, as cases of `site`.
pub(super) fn paired(folder: &Path, site: &str, read: &ReadOptions) -> Result<Survey> {
    let mut all = Survey::default();
    // Keyed by the lower-case id: releases mix `Case00.nii.gz` with `case00_segmentation.nii.gz`.
    let mut found = BTreeMap::<String, CaseFiles>::new();
    for path in entries(folder)?.into_iter().filter(|p| looks_like(p, read, |_| true)) {
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => continue,
            Err(error) => {
                all.problems.push(Error::io("read", &path)(error));
                continue;
            }
        }
        let name = match name_of(&path) {
            Ok(name) => name,
            Err(problem) => {
                all.problems.push(problem);
                continue;
            }
        };
        let Some(volume) = VolumeName::parse(&name, read) else {
            continue;
        };
        let new = || CaseFiles::new(site, volume.id);
        let entry = found.entry(volume.id.to_lowercase()).or_insert_with(new);
        let slot = if volume.is_label { &mut entry.label } else { &mut entry.image };
        if let Some(first) = slot {
            let (site, id) = (site.to_owned(), volume.id.to_owned());
            let first = first.clone();
            all.problems.push(Error::DuplicateCase { site, id, first, second: path });
            continue;
        }
        *slot = Some(path);
        if !volume.is_label {
            volume.id.clone_into(&mut entry.id);
        }
    }
    for case in found.into_values() {
        let (image, label) =
            (format!("{}.nii.gz", case.id), format!("{}_segmentation.nii.gz", case.id));
        all.take(case.pair(&image, &label));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::*;
    use crate::layout::{Case, Layout};

    fn cases(dir: &Path) -> Result<Vec<Case>> {
        Layout::Saml.cases(dir)
    }

    #[test]
    fn sites_and_cases_in_order() {
        let dir = tree(&[
            "BMC/Case01.nii.gz",
            "BMC/Case01_Segmentation.nii.gz",
            "BMC/Case00.NII",
            "BMC/case00_segmentation.nii",
            "A site/x.nii",
            "A site/x_segmentation.nii.gz",
            "A site/.DS_Store",
            "A site/._x.nii",
            "A site/readme.txt",
            ".hidden/Case00.nii.gz",
            "papers/paper.pdf",
            "stray.nii.gz",
        ]);
        let found = cases(dir.path()).unwrap();
        let short: Vec<_> = found.iter().map(|c| (c.site.as_str(), c.id.as_str())).collect();
        assert_eq!(short, [("A site", "x"), ("BMC", "Case00"), ("BMC", "Case01")]);
        assert_eq!(found[1].label, Some(dir.path().join("BMC/case00_segmentation.nii")));
        assert_eq!(found[2].image, dir.path().join("BMC/Case01.nii.gz"));
    }

    #[test]
    fn nothing_there() {
        for files in [&["readme.txt"][..], &["site/notes.txt"], &[".a/Case00.nii"]] {
            assert!(matches!(cases(tree(files).path()), Err(Error::NoSites { .. })), "{files:?}");
        }
        let gone = tree(&["a/b"]).path().join("nowhere");
        assert!(matches!(cases(&gone), Err(Error::File(desam_volume::Error::Io { .. }))));
    }

    #[test]
    fn half_cases_are_named() {
        let error = cases(tree(&["A/Case07.nii.gz"]).path()).unwrap_err();
        assert!(
            matches!(&error, Error::MissingLabel { site, id, .. } if site == "A" && id == "Case07")
        );
        assert!(error.to_string().contains("Case07.nii.gz"), "{error}");
        let error = cases(tree(&["A/Case07_segmentation.nii.gz"]).path()).unwrap_err();
        assert!(matches!(&error, Error::MissingImage { id, .. } if id == "Case07"));
    }

    #[test]
    fn twins_are_refused() {
        for twin in ["A/Case1.nii", "A/CASE1.nii.gz", "A/case1_SEGMENTATION.nii"] {
            let dir = tree(&["A/Case1.nii.gz", "A/Case1_segmentation.nii.gz", twin]);
            assert!(matches!(cases(dir.path()), Err(Error::DuplicateCase { .. })), "{twin}");
        }
    }
}
