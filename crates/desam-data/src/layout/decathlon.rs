//! The layout of the Medical Segmentation Decathlon: `imagesTr/NAME.nii.gz` with
//! `labelsTr/NAME.nii.gz` and a `dataset.json` that lists them. One site, named after its folder.
//!
//! An image may hold several channels (the prostate's are T2 and ADC), one of which is chosen when it
//! is read. The release is packed on a Mac and holds a hidden `._NAME` beside every file.

use super::nn_unet::{root, stem};
use super::survey::{CaseFiles, Survey};
use super::{entries, name_of};
use crate::{Error, Result};
use desam_core::files::read_regular_to_string;
use desam_volume::volumes::ReadOptions;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the file that lists the training cases.
const TABLE: &str = "dataset.json";

/// Whether `dir` holds `imagesTr` with volumes whose names do not end in a channel's number, which
/// is what tells this layout from nnU-Net's.
pub(super) fn is_there(dir: &Path, read: &ReadOptions) -> Result<bool> {
    let Some(root) = root(dir) else {
        return Ok(false);
    };
    let images = entries(&root.join("imagesTr"))?;
    let mut names = images.iter().filter_map(|path| stem(path, read)).peekable();
    let any = names.peek().is_some();
    Ok(any && !names.any(names_a_channel))
}

/// Whether a name ends in the number of a channel, as nnU-Net's do: `_0000`, `_0001`, …
fn names_a_channel(name: &str) -> bool {
    let number = name.rsplit_once('_').map(|(_, number)| number);
    number.is_some_and(|n| n.len() == 4 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// All cases under `dir`.
pub(super) fn survey(dir: &Path, read: &ReadOptions) -> Result<Survey> {
    let Some(root) = root(dir) else {
        return Err(Error::NoSites { dir: dir.to_path_buf() });
    };
    let site = name_of(&std::path::absolute(&root).map_err(Error::io("find", &root))?)?;
    let mut all = Survey::default();
    let mut found = BTreeMap::<String, CaseFiles>::new();
    for (folder, is_image) in [("imagesTr", true), ("labelsTr", false)] {
        let folder = root.join(folder);
        let paths = if folder.is_dir() { entries(&folder)? } else { Vec::new() };
        for path in paths {
            let Some(id) = stem(&path, read) else { continue };
            let case = found.entry(id.to_lowercase()).or_insert_with(|| CaseFiles::new(&site, id));
            let place = if is_image { &mut case.image } else { &mut case.label };
            if let Some(first) = place.replace(path.clone()) {
                let (site, id) = (site.clone(), id.to_owned());
                all.problems.push(Error::DuplicateCase { site, id, first, second: path });
            }
        }
    }
    match listed(&root) {
        // A listed case without any file would otherwise go unnoticed.
        Ok(images) => {
            for image in images {
                let Some(id) = stem(&image, read) else { continue };
                if !found.contains_key(&id.to_lowercase()) {
                    let path = root.join(TABLE);
                    let problem = format!("it lists {}, which is not there", image.display());
                    all.problems.push(Error::Table { path, line: 1, problem });
                }
            }
        }
        Err(problem) => all.problems.push(problem),
    }
    for case in found.into_values() {
        let image = format!("imagesTr/{}.nii.gz", case.id);
        let label = format!("labelsTr/{}.nii.gz", case.id);
        all.take(case.pair(&image, &label));
    }
    Ok(all)
}

/// The part of `dataset.json` that is looked at.
#[derive(Deserialize)]
struct Dataset {
    #[serde(default)]
    training: Vec<ListedCase>,
}

#[derive(Deserialize)]
struct ListedCase {
    image: PathBuf,
}

/// The images of the training cases that the table lists; none where there is no table.
fn listed(root: &Path) -> Result<Vec<PathBuf>> {
    let path = root.join(TABLE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = read_regular_to_string(&path).map_err(Error::io("read", &path))?;
    let read: Result<Dataset, _> = serde_json::from_str(&text);
    let dataset = read.map_err(|error| Error::Table {
        path,
        line: error.line() as u64,
        problem: error.to_string(),
    })?;
    Ok(dataset.training.into_iter().map(|listed| listed.image).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Layout, discover};
    use super::*;

    const FILES: [&str; 8] = [
        "imagesTr/prostate_00.nii.gz",
        "imagesTr/._prostate_00.nii.gz",
        "imagesTr/prostate_12.nii.gz",
        "imagesTs/prostate_03.nii.gz",
        "labelsTr/prostate_00.nii.gz",
        "labelsTr/._prostate_00.nii.gz",
        "labelsTr/prostate_12.nii.gz",
        "._dataset.json",
    ];

    #[test]
    fn cases_are_pairs_of_one_name() {
        let dir = tree(&FILES);
        let table = dir.path().join("dataset.json");
        let site = dir.path().file_name().unwrap().to_str().unwrap();
        let list = |ids: &[&str]| {
            let image = |id: &&str| format!("{{\"image\": \"./imagesTr/{id}.nii.gz\"}}");
            let images = ids.iter().map(image).collect::<Vec<_>>().join(",");
            std::fs::write(&table, format!("{{\"name\": \"P\", \"training\": [{images}]}}"))
                .unwrap();
        };
        for listed in [&[][..], &["prostate_00", "prostate_12"]] {
            if !listed.is_empty() {
                list(listed);
            }
            assert_eq!(Layout::of(dir.path()).unwrap(), Layout::Decathlon);
            let found = discover(dir.path()).unwrap();
            let short: Vec<_> = found.iter().map(|c| (c.site.as_str(), c.id.as_str())).collect();
            assert_eq!(short, [(site, "prostate_00"), (site, "prostate_12")]);
            assert_eq!(found[1].image, dir.path().join("imagesTr/prostate_12.nii.gz"));
            assert_eq!(found[1].label, Some(dir.path().join("labelsTr/prostate_12.nii.gz")));
        }
        list(&["prostate_00", "prostate_07"]);
        let error = discover(dir.path()).unwrap_err().to_string();
        assert!(error.contains("prostate_07") && error.contains("dataset.json"), "{error}");
        std::fs::write(&table, "{\"training\": 3}").unwrap();
        let error = discover(dir.path()).unwrap_err().to_string();
        assert!(error.contains("dataset.json, line 1"), "{error}");
    }

    #[test]
    fn halves_are_named_and_channels_make_it_nn_unets() {
        let dir = tree(&FILES);
        std::fs::remove_file(dir.path().join(FILES[6])).unwrap();
        assert!(matches!(discover(dir.path()), Err(Error::MissingLabel { .. })));
        std::fs::write(dir.path().join("imagesTr/prostate_00_0000.nii.gz"), b"").unwrap();
        assert_eq!(Layout::of(dir.path()).unwrap(), Layout::NnUnet);
    }
}
