//! DICOM series in, segmentations out (feature `dicom`): a folder of files becomes a volume, a mask
//! becomes an object that refers to the series it is of.
//!
//! Files are grouped by series and sorted by position along the normal of their slices. What is no
//! one stack (a gap, slices of several orientations or sizes, two slices at one place) is refused
//! with the reason, and so is a folder of several series unless one is chosen. Rescale slope and
//! intercept are applied slice by slice. Transfer syntaxes: implicit and explicit, little and big
//! endian, deflated, RLE, JPEG baseline of 8 bits, JPEG lossless of the first predictor (what
//! archives write), JPEG-LS and JPEG 2000.
//!
//! A file of several frames that says of each where it lies (enhanced MR and CT, segmentations) is as
//! many slices. Labels may be a series too, or a binary segmentation of one segment with a frame for
//! every slice, which is what [`seg`] writes.

mod codec;
mod element;
mod elements;
mod encoding;
mod fields;
mod file;
mod geometry;
mod header;
mod inflate;
mod jpeg;
mod jpeg2000;
mod jpeg_ls;
mod pixels;
mod rewrite;
mod rle;
pub mod seg;
mod series;
mod start;
#[cfg(test)]
mod tests;
mod warnings;

pub use series::{Plane, Series, SeriesChoice, list_series};

use geometry::Stack;
use series::Sought;

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
    let options = ReadOptions::default().with_series(choice.clone());
    load_volume(path, &options).map(|loaded| loaded.value)
}

/// Reads labels, whole numbers from 0 to 255: the one series of a folder, or a single file.
///
/// # Errors
/// As [`read_volume`]; [`Error::NotALabel`] when a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    load_labels(path, &ReadOptions::default()).map(|loaded| loaded.value)
}

/// Reads the series that `options` choose, with what there is to warn about.
pub(crate) fn load_volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
    pixels::volume(&stack(path, &options.series, Sought::Images)?, options.max_bytes)
}

/// Reads the labels of the series that `options` choose, with what there is to warn about.
pub(crate) fn load_labels(path: &Path, options: &ReadOptions) -> Result<Loaded<LabelVolume>> {
    pixels::labels(&stack(path, &SeriesChoice::Only, Sought::Labels)?, options.max_bytes)
}

fn stack(path: &Path, choice: &SeriesChoice, sought: Sought) -> Result<Stack> {
    geometry::stack(series::choose(path, choice, sought)?, path)
}

/// Whether a folder holds a DICOM file, hidden ones aside.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be listed.
pub fn is_dicom_folder(path: &Path) -> Result<bool> {
    Ok(series::files(path)?.iter().any(|f| header::looks_like_dicom(f)))
}

/// The files of the one series that `path` holds, in the order of their slices.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    // The images where there are any: segmentations beside them are of them.
    let images = path.is_dir() && !list_series(path)?.is_empty();
    let sought = if images { Sought::Images } else { Sought::Labels };
    let stack = stack(path, &SeriesChoice::Only, sought)?;
    let mut files: Vec<PathBuf> = stack.slices.iter().map(|s| s.path().to_path_buf()).collect();
    files.dedup();
    Ok(files)
}

/// Whether a file of these first bytes is DICOM.
pub(crate) fn is_start(bytes: &[u8]) -> bool {
    start::find(bytes).is_some()
}

/// An [`Error::Dicom`].
fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Dicom { path: path.to_path_buf(), problem: problem.into() }
}
