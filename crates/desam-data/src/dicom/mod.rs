//! DICOM series in: a folder of files becomes a volume (feature `dicom`).
//!
//! Files are grouped by series and sorted by position along the normal of their slices. What is no
//! one stack (a gap, slices of several orientations or sizes, two slices at one place) is refused
//! with the reason, and so is a folder of several series unless one is chosen. Rescale slope and
//! intercept are applied slice by slice. Transfer syntaxes: implicit and explicit, little and big
//! endian, RLE, JPEG baseline of 8 bits and JPEG lossless of the first predictor (what archives
//! write).
//!
//! Masks of DICOM series are written in another format: their grid is the series'.

mod geometry;
mod header;
mod pixels;
mod series;
#[cfg(test)]
mod tests;
mod walk;

pub use series::{Plane, Series, SeriesChoice, list_series};

use crate::volumes::VolumeFormat;
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
        Err(desam_core::Error::external(no_labels(path)))
    }
}

/// Reads one series of a folder, or a single file.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read; [`Error::Dicom`] when there is no series that fits the
/// choice or more than one, when its slices are no stack, or when a file is broken or of a kind
/// that is not read.
pub fn read_volume(path: &Path, choice: &SeriesChoice) -> Result<Volume> {
    let chosen = series::choose(path, choice)?;
    let stack = geometry::stack(chosen, path)?;
    pixels::volume(&stack)
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
    let stack = geometry::stack(series::choose(path, &SeriesChoice::Only)?, path)?;
    Ok(stack.slices.into_iter().map(|s| s.path).collect())
}

/// Whether a file of these first bytes is DICOM.
pub(crate) fn is_start(bytes: &[u8]) -> bool {
    bytes.get(128..132).is_some_and(|magic| magic == b"DICM")
}

pub(crate) fn no_labels(path: &Path) -> Error {
    wrong(path, "labels are not read from DICOM; convert them to NIfTI, MetaImage or NRRD")
}

/// An [`Error::Dicom`].
fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Dicom { path: path.to_path_buf(), problem: problem.into() }
}
