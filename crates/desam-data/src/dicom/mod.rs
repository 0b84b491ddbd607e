//! DICOM series in, segmentations out (feature `dicom`): a folder of files becomes a volume, a mask
//! becomes an object that refers to the series it is of.
//!
//! Files are grouped by series and sorted by position along the normal of their slices. What is no
//! one stack (a gap, slices of several orientations or sizes, two slices at one place) is refused
//! with the reason, and so is a folder of several series unless one is chosen. Files of other series
//! never stop the one that is chosen, and objects that cannot be a volume (reports, screenshots,
//! images without a position) are set aside; a file that could be a slice of it and cannot be read is
//! an error, since a series without its last slice looks like a shorter one. Rescale slope and
//! intercept are applied slice by slice. Transfer syntaxes: implicit and explicit, little and big
//! endian, RLE, JPEG baseline of 8 bits and JPEG lossless of the first predictor (what archives
//! write).
//!
//! A file of several frames that says of each where it lies (enhanced MR and CT, segmentations) is as
//! many slices. Labels may be a series too, or a binary segmentation of one segment with a frame for
//! every slice, which is what [`seg`] writes.

mod candidate;
mod choose;
mod contents;
mod duplicates;
mod elements;
mod fields;
mod geometry;
mod groups;
mod header;
mod jpeg;
mod named;
mod neighbours;
mod peek;
mod pixels;
mod rle;
pub mod seg;
mod series;
#[cfg(test)]
mod tests;
mod walk;

pub use contents::list_series;
pub use series::{Plane, Series, SeriesChoice};

use contents::{Contents, Sought};
use geometry::Stack;

use crate::volumes::{Loaded, ReadOptions, VolumeFormat};
use crate::{Error, Result};
use desam_core::{LabelVolume, Volume, VolumeReader};
use std::path::{Path, PathBuf};

/// Reads folders of DICOM files, and single ones, where they hold one series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DicomReader;

impl VolumeReader for DicomReader {
    fn accepts(&self, path: &Path) -> bool {
        VolumeFormat::of_name(path) == Some(VolumeFormat::Dicom) || path.is_dir()
    }

    fn read(&self, path: &Path) -> desam_core::Result<Volume> {
        read_volume(path, &SeriesChoice::Only).map_err(desam_core::Error::external)
    }

    fn read_labels(&self, path: &Path) -> desam_core::Result<LabelVolume> {
        read_labels(path).map_err(desam_core::Error::external)
    }
}

/// Reads one series of a folder, or a single file.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read; [`Error::Dicom`] when there is no series that fits the
/// choice or more than one, when its slices are no stack, or when a file is broken or of a kind
/// that is not read.
pub fn read_volume(path: &Path, choice: &SeriesChoice) -> Result<Volume> {
    pixels::volume(&stack(path, choice, Sought::Images)?.value)
}

/// Reads labels, whole numbers from 0 to 255: the one series of a folder, or a single file.
///
/// # Errors
/// As [`read_volume`]; [`Error::NotALabel`] when a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    pixels::labels(&stack(path, &SeriesChoice::Only, Sought::Labels)?.value)
}

/// Reads the series that `options` choose, with what there is to warn about.
pub(crate) fn load_volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
    let stack = stack(path, &options.series, Sought::Images)?;
    let volume = pixels::volume(&stack.value)?;
    Ok(stack.map(|_| volume))
}

/// Reads the labels of the series that `options` choose, with what there is to warn about.
pub(crate) fn load_labels(path: &Path, options: &ReadOptions) -> Result<Loaded<LabelVolume>> {
    let stack = stack(path, &options.series, Sought::Labels)?;
    let labels = pixels::labels(&stack.value)?;
    Ok(stack.map(|_| labels))
}

/// The slices that a folder or a file is read as.
fn stack(path: &Path, choice: &SeriesChoice, sought: Sought) -> Result<Loaded<Stack>> {
    let chosen = choose::choose(path, choice, sought)?;
    let mut loaded = Loaded::new(geometry::stack(chosen.series, path)?);
    loaded.warnings = chosen.warnings;
    loaded.warnings.append(&mut loaded.value.warnings);
    loaded.warnings.extend(neighbours::warning(path, &loaded.value));
    loaded.details = chosen.details;
    Ok(loaded)
}

/// Whether a folder is worth being read as a volume: it holds an image that is a slice, or a file
/// that could be one and cannot be read. Segmentations, reports and images without a position are
/// neither.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be listed.
pub fn is_dicom_folder(path: &Path) -> Result<bool> {
    Contents::is_volume(path)
}

/// Whether `choice` fits a series in a folder, in whole or in part; files that cannot be read are
/// passed over.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be listed.
pub fn holds_series(path: &Path, choice: &SeriesChoice) -> Result<bool> {
    let contents = match choice {
        SeriesChoice::Uid(uid) => Contents::of_series(path, Sought::Images, uid)?,
        _ => Contents::of_folder(path, Sought::Images)?,
    };
    Ok(contents.series.iter().any(|s| s.fits(choice) || s.has_part(choice)))
}

/// The files of the one series that `path` holds, in the order of their slices.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    // The images where there are any: segmentations beside them are of them.
    let images = path.is_dir() && !Contents::of_folder(path, Sought::Images)?.series.is_empty();
    let sought = if images { Sought::Images } else { Sought::Labels };
    let stack = stack(path, &SeriesChoice::Only, sought)?.value;
    let mut files: Vec<PathBuf> = stack.slices.iter().map(|s| s.path().to_path_buf()).collect();
    files.dedup();
    Ok(files)
}

/// Whether a file of these first bytes is DICOM.
pub(crate) fn is_start(bytes: &[u8]) -> bool {
    bytes.get(128..132).is_some_and(|magic| magic == b"DICM")
}

/// An [`Error::Dicom`].
fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Dicom { path: path.to_path_buf(), problem: problem.into() }
}
