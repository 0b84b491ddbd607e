//! The layout of two-dimensional data sets: `images/NAME.png` with `masks/NAME.png`, in the data set
//! itself, which is then one site, or in a folder of each site. Volumes may be laid out so too.
//!
//! Masks are called as their images, or have the name of exactly one image before a suffix:
//! `Image_01L_1stHO.png` is that of `Image_01L.jpg`.

use super::folders::{folder_named, folders, listable_folders};
use super::survey::{CaseFiles, Survey};
use super::{entries, name_of};
use crate::{Error, Result};
use desam_volume::volumes::{ReadOptions, without_image_ending};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names of the folder of images.
const IMAGES: [&str; 2] = ["images", "image"];
/// Names of the folder of masks.
const MASKS: [&str; 4] = ["masks", "mask", "labels", "label"];
/// What separates a suffix of a mask from the name of its image.
const SEPARATORS: [char; 4] = ['_', '-', '.', ' '];

/// Whether `dir` or a folder in it holds a folder of images and one of masks.
pub(super) fn is_there(dir: &Path) -> Result<bool> {
    let is_site = |folder: &Path| SiteFolders::of(folder).is_ok_and(|found| found.is_complete());
    Ok(SiteFolders::of(dir)?.is_complete()
        || listable_folders(dir).iter().any(|folder| is_site(folder)))
}

/// All cases under `dir`.
pub(super) fn survey(dir: &Path, read: &ReadOptions) -> Result<Survey> {
    let own = SiteFolders::of(dir)?;
    if own.is_complete() {
        let whole = std::path::absolute(dir).map_err(Error::io("find", dir))?;
        return own.survey(&name_of(&whole)?, read);
    }
    let mut all = Survey::default();
    for folder in folders(dir)? {
        let found = SiteFolders::of(&folder).and_then(|site| match site.images {
            None => Ok(Survey::default()),
            Some(_) => site.survey(&name_of(&folder)?, read),
        });
        all.take_all(found);
    }
    Ok(all)
}

/// The folders of a site, where there are such.
struct SiteFolders {
    images: Option<PathBuf>,
    masks: Option<PathBuf>,
}

impl SiteFolders {
    fn of(site: &Path) -> Result<Self> {
        let first = |names: &[&str]| -> Result<Option<PathBuf>> {
            for name in names {
                if let Some(folder) = folder_named(site, name)? {
                    return Ok(Some(folder));
                }
            }
            Ok(None)
        };
        Ok(Self { images: first(&IMAGES)?, masks: first(&MASKS)? })
    }

    fn is_complete(&self) -> bool {
        self.images.is_some() && self.masks.is_some()
    }

    fn survey(&self, site: &str, read: &ReadOptions) -> Result<Survey> {
        let mut all = Survey::default();
        let mut found = BTreeMap::<String, CaseFiles>::new();
        for file in named_files(self.images.as_deref(), read, &mut all)? {
            let new = || CaseFiles::new(site, &file.stem);
            let case = found.entry(file.stem.to_lowercase()).or_insert_with(new);
            put(&mut case.image, file.path, site, &case.id, &mut all);
        }
        let ids: Vec<String> = found.keys().cloned().collect();
        for file in named_files(self.masks.as_deref(), read, &mut all)? {
            let key = match image_of(&file.stem.to_lowercase(), &ids).as_slice() {
                [] => file.stem.to_lowercase(),
                [one] => (*one).to_owned(),
                [first, second, ..] => {
                    let (first, second) = ((*first).to_owned(), (*second).to_owned());
                    let (site, label) = (site.to_owned(), file.path);
                    all.problems.push(Error::AmbiguousLabel { site, label, first, second });
                    continue;
                }
            };
            let case = found.entry(key).or_insert_with(|| CaseFiles::new(site, &file.stem));
            put(&mut case.label, file.path, site, &case.id, &mut all);
        }
        for case in found.into_values() {
            let names = ["images", "masks"].map(|folder| format!("{folder}/{}.png", case.id));
            all.take(case.pair(&names[0], &names[1]));
        }
        Ok(all)
    }
}

/// A file, and its name without the ending of its format.
struct NamedFile {
    path: PathBuf,
    stem: String,
}

/// The images or volumes in a folder. Names that are not text are problems.
fn named_files(
    folder: Option<&Path>,
    read: &ReadOptions,
    all: &mut Survey,
) -> Result<Vec<NamedFile>> {
    let mut files = Vec::new();
    for path in folder.map_or(Ok(Vec::new()), entries)?.into_iter().filter(|p| !p.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = read.without_ending(&name).or_else(|| without_image_ending(&name));
        let Some(stem) = stem.filter(|s| !s.is_empty()).map(str::to_owned) else {
            continue;
        };
        match name_of(&path) {
            Ok(_) => files.push(NamedFile { path, stem }),
            Err(problem) => all.problems.push(problem),
        }
    }
    Ok(files)
}

/// Puts a file where nothing is yet; otherwise the two are a problem.
fn put(slot: &mut Option<PathBuf>, path: PathBuf, site: &str, id: &str, all: &mut Survey) {
    match slot {
        None => *slot = Some(path),
        Some(first) => {
            let (site, id, first) = (site.to_owned(), id.to_owned(), first.clone());
            all.problems.push(Error::DuplicateCase { site, id, first, second: path });
        }
    }
}

/// The images that a mask may be of: the one of its name, or those whose name it begins with.
fn image_of<'a>(mask: &str, images: &'a [String]) -> Vec<&'a str> {
    if let Some(same) = images.iter().find(|image| *image == mask) {
        return vec![same];
    }
    let begins = |image: &&String| {
        mask.strip_prefix(image.as_str()).is_some_and(|rest| rest.starts_with(SEPARATORS))
    };
    images.iter().filter(begins).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Layout, default_preprocess, discover};
    use super::*;
    use crate::preprocess::PreprocessConfig;

    fn short(dir: &Path) -> Vec<(String, String)> {
        discover(dir).unwrap().into_iter().map(|c| (c.site, c.id)).collect()
    }

    #[test]
    fn one_site_or_several() {
        let dir = tree(&[
            "images/b.JPG",
            "images/a.png",
            "images/notes.txt",
            "masks/a.png",
            "masks/b.png",
            "masks/.hidden.png",
        ]);
        assert_eq!(Layout::of(dir.path()).unwrap(), Layout::Images);
        let site = dir.path().file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(short(dir.path()), [(site.clone(), "a".into()), (site, "b".into())]);
        let read = ReadOptions::default();
        assert_eq!(default_preprocess(dir.path(), &read), PreprocessConfig::image());
        let dir = tree(&[
            "Leeds/Images/1.tif",
            "Leeds/Labels/1.tif",
            "Oslo/images/1.bmp",
            "Oslo/masks/1_mask.png",
            "papers/paper.pdf",
        ]);
        let found = short(dir.path());
        assert_eq!(found, [("Leeds".into(), "1".into()), ("Oslo".into(), "1".into())]);
        // Volumes may be laid out so, and are prepared as volumes.
        let dir = tree(&["images/a.nii.gz", "labels/a.nii.gz"]);
        assert_eq!(discover(dir.path()).unwrap().len(), 1);
        assert_eq!(default_preprocess(dir.path(), &read), PreprocessConfig::paper());
    }

    #[test]
    fn suffixes_of_masks_are_matched_where_they_are_clear() {
        let dir = tree(&[
            "images/Image_01L.jpg",
            "images/Image_01R.jpg",
            "images/Image_1.jpg",
            "masks/image_01l_1stHO.png",
            "masks/Image_01R-mask.png",
            "masks/Image_1.png",
        ]);
        let found = discover(dir.path()).unwrap();
        let label = |n: usize| found[n].label.as_ref().unwrap().file_name().unwrap().to_owned();
        assert_eq!(
            [0, 1, 2].map(label),
            ["image_01l_1stHO.png", "Image_01R-mask.png", "Image_1.png"]
        );
        assert_eq!(found[0].id, "Image_01L");
    }

    #[test]
    fn what_is_not_one_image_with_one_mask_is_named() {
        let problems = |files: &[&str]| {
            let survey = Layout::Images.survey(tree(files).path()).unwrap();
            survey.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let pair = ["images/a.png", "masks/a.png"];
        let with = |more: &[&str]| problems(&[&pair[..], more].concat());
        assert!(with(&[]).is_empty());
        let one = |found: Vec<String>, words: &[&str]| {
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(words.iter().all(|w| found[0].contains(w)), "{found:?}");
        };
        one(with(&["images/b.png"]), &["b.png", "masks/b.png"]);
        one(with(&["masks/b.png"]), &["b.png has no image"]);
        // Without something between them, a name that goes on is another's.
        one(with(&["masks/ab.png"]), &["ab.png has no image"]);
        one(with(&["images/a.jpg"]), &["both", "a.jpg"]);
        one(with(&["masks/a_2ndHO.png"]), &["both", "a_2ndHO.png"]);
        let two = ["images/a_b.png", "masks/a_b.png", "masks/a_b_c.png"];
        one(with(&two), &["a_b_c.png", "of a and of a_b"]);
    }
}
