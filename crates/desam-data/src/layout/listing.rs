//! Listing the volumes of a folder that are to be segmented.

use super::folders::{below, folders, holds_dicom, listable_folders};
use super::names::is_label_name;
use super::{Case, Layout, entries, is_two_dimensional};
use crate::Result;
use desam_volume::volumes::{ReadOptions, is_series, without_image_ending};
use std::path::{Path, PathBuf};

/// The volumes of a folder, and the folders in it that hold more of them and are not looked into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FolderListing {
    /// Volumes to segment: the folder itself first, where its own DICOM files are a series, then
    /// the volume files and the DICOM folders in it, sorted by name.
    pub volumes: Vec<PathBuf>,
    /// Folders whose volumes are not among them.
    pub unread: Vec<UnreadFolder>,
    /// Two-dimensional images that lie next to volumes, which are more likely pictures of them. In a
    /// folder without volumes they are what is segmented.
    pub pictures: Vec<PathBuf>,
}

/// A folder that holds volumes and is not searched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnreadFolder {
    /// The folder.
    pub path: PathBuf,
    /// One of its volumes: a file, or a folder of DICOM files.
    pub example: PathBuf,
}

/// Lists what is segmented of `dir`: its own DICOM files, which are one volume, each volume file in it,
/// and each folder in it that is a DICOM series (with the feature `dicom`); or, where there is none of
/// these, each two-dimensional image. Hidden files and label files
/// (`*_segmentation`, `*.seg`) are passed over. Folders farther down, and folders of volume files, are
/// not looked into and listed as such: a folder of earlier masks must not be segmented again.
///
/// # Errors
/// [`Io`](desam_volume::Error::Io) when a folder cannot be listed.
pub fn list_folder(dir: &Path) -> Result<FolderListing> {
    list_folder_with(dir, &ReadOptions::default())
}

/// Lists what is segmented of `dir`, as [`list_folder`] does, where volumes are read with `read`.
///
/// # Errors
/// As [`list_folder`].
pub fn list_folder_with(dir: &Path, read: &ReadOptions) -> Result<FolderListing> {
    let mut listing = FolderListing::default();
    if is_series(dir)? {
        listing.volumes.push(dir.to_path_buf());
    }
    for path in entries(dir)? {
        if !path.is_dir() {
            if is_image_file(&path, read) {
                listing.volumes.push(path);
            } else if is_picture(&path, read) {
                listing.pictures.push(path);
            }
            continue;
        }
        let series = is_series(&path)?;
        if let Some(example) = first_volume(&path, series, read)? {
            listing.unread.push(UnreadFolder { path: path.clone(), example });
        }
        if series {
            listing.volumes.push(path);
        }
    }
    if listing.volumes.is_empty() {
        listing.volumes.append(&mut listing.pictures);
    }
    if listing.volumes.is_empty() && listing.unread.is_empty() {
        for path in listable_folders(dir) {
            let inside = entries(&path).unwrap_or_default();
            if let Some(example) = inside.into_iter().find(|p| is_picture(p, read)) {
                listing.unread.push(UnreadFolder { path, example });
            }
        }
    }
    Ok(listing)
}

/// The image volumes of `dir`: see [`list_folder`]. May be empty.
///
/// # Errors
/// As [`list_folder`].
pub fn list_volumes(dir: &Path) -> Result<Vec<PathBuf>> {
    list_folder(dir).map(|listing| listing.volumes)
}

/// A warning where folders of DICOM files in a data set are of none of its cases: a case under a name
/// that the layout does not know would otherwise be missed without a word. `None` for tables, which
/// name what they mean.
///
/// # Errors
/// [`Io`](desam_volume::Error::Io) when a folder cannot be listed.
pub fn unused_series(data: &Path, layout: Layout, cases: &[Case]) -> Result<Option<String>> {
    if layout == Layout::Table {
        return Ok(None);
    }
    let used = |folder: &Path| {
        let paths = cases.iter().flat_map(|c| [Some(&c.image), c.label.as_ref()]).flatten();
        paths.into_iter().any(|path| path == folder)
    };
    let mut unused = Vec::new();
    for folder in below(data)? {
        if !used(&folder) && holds_dicom(&folder)? {
            unused.push(folder);
        }
    }
    Ok(unused.first().map(|first| {
        format!(
            "{} of DICOM files belong to no case and are passed over, such as {}; a table (CSV) of cases \
             can name them",
            if unused.len() == 1 { "1 folder".into() } else { format!("{} folders", unused.len()) },
            first.display()
        )
    }))
}

/// A volume below `folder`, or in it where it is not itself a DICOM series.
fn first_volume(folder: &Path, series: bool, read: &ReadOptions) -> Result<Option<PathBuf>> {
    let image = |p: &PathBuf| !p.is_dir() && is_image_file(p, read);
    if let Some(file) = entries(folder)?.into_iter().find(image) {
        return Ok(Some(file));
    }
    if !series && cfg!(not(feature = "dicom")) && holds_dicom(folder)? {
        return Ok(Some(folder.to_path_buf()));
    }
    for inner in folders(folder)? {
        for deep in below(&inner)? {
            if let Some(file) = entries(&deep)?.into_iter().find(image) {
                return Ok(Some(file));
            }
            if holds_dicom(&deep)? {
                return Ok(Some(deep));
            }
        }
    }
    Ok(None)
}

/// Whether a file is named as a volume that is no label.
fn is_image_file(path: &Path, read: &ReadOptions) -> bool {
    super::looks_like(path, read, |name| !name.is_label) && path.is_file()
}

/// Whether a file is named as a two-dimensional image that is no label.
fn is_picture(path: &Path, read: &ReadOptions) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = without_image_ending(&name).filter(|_| is_two_dimensional(path, read));
    stem.is_some_and(|stem| !stem.is_empty() && !is_label_name(stem)) && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::*;
    use crate::Error;

    #[test]
    fn volumes_to_segment() {
        let dir = tree(&[
            "b.nii.gz",
            "A.NII",
            "a.nii.gz",
            "b_Segmentation.nii.gz",
            "c.mhd",
            "c.raw",
            "c.seg.nrrd",
            "d.nrrd",
            "e.hdr",
            "e.img",
            ".b.nii.gz",
            "notes.txt",
            "x.gz",
            ".nii",
        ]);
        std::fs::create_dir(dir.path().join("folder.nii")).unwrap();
        let found = list_volumes(dir.path()).unwrap();
        let names: Vec<_> =
            found.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["A.NII", "a.nii.gz", "b.nii.gz", "c.mhd", "d.nrrd", "e.hdr"]);
        assert!(matches!(
            list_volumes(&dir.path().join("none")),
            Err(Error::File(desam_volume::Error::Io { .. }))
        ));
    }

    #[test]
    fn folders_that_are_not_looked_into_are_listed() {
        let dir = tree(&[
            "a.nii.gz",
            "masks/a.nii.gz",
            "deep/er/still/b.mha",
            "labels/a_segmentation.nii.gz",
            "papers/paper.pdf",
        ]);
        let found = list_folder(dir.path()).unwrap();
        assert_eq!(found.volumes, [dir.path().join("a.nii.gz")]);
        let unread: Vec<_> = found.unread.iter().map(|u| (&u.path, &u.example)).collect();
        let [deep, masks] = ["deep", "masks"].map(|n| dir.path().join(n));
        let [b, a] = [deep.join("er/still/b.mha"), masks.join("a.nii.gz")];
        assert_eq!(unread, [(&deep, &b), (&masks, &a)]);
    }

    #[test]
    fn images_are_segmented_where_there_are_no_volumes() {
        let images = ["a.png", "b.JPEG", "c_segmentation.png", "d.gif", ".e.png", "masks/a.png"];
        let dir = tree(&images);
        let [a, b] = ["a.png", "b.JPEG"].map(|name| dir.path().join(name));
        let found = list_folder(dir.path()).unwrap();
        assert_eq!((found.volumes, found.pictures.len()), (vec![a, b], 0));
        assert!(found.unread.is_empty());
        let dir = tree(&[&images[..], &["t2.nii.gz"]].concat());
        let found = list_folder(dir.path()).unwrap();
        assert_eq!(found.volumes, [dir.path().join("t2.nii.gz")]);
        assert_eq!(found.pictures.len(), 2);
        let dir = tree(&["images/a.png", "masks/a.png"]);
        let found = list_folder(dir.path()).unwrap();
        assert!(found.volumes.is_empty() && found.unread.len() == 2);
    }

    #[test]
    fn series_of_no_case_are_not_missed_without_a_word() {
        let pair = ["A/x.nii", "A/x_segmentation.nii"];
        let said = |files: &[&str]| {
            let dir = tree(files);
            let layout = Layout::of(dir.path()).unwrap();
            let cases = layout.cases(dir.path()).unwrap();
            unused_series(dir.path(), layout, &cases).unwrap()
        };
        assert_eq!(said(&pair), None);
        let warning = said(&[&pair[..], &["A/y/1.dcm", "A/z/t2/1.dcm"]].concat()).unwrap();
        assert!(warning.starts_with("2 folders") && warning.contains("A/y"), "{warning}");
        let i2cvb = ["GE/P 1/T2W/1.dcm", "GE/P 1/GT/prostate/1.dcm", "GE/P 2/T2/1.dcm"];
        let warning = said(&i2cvb).unwrap();
        assert!(warning.starts_with("1 folder of") && warning.contains("P 2/T2"), "{warning}");
    }
}
