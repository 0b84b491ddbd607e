//! DICOM series in, segmentations out (feature `dicom`): a folder of files becomes a volume, a mask
//! becomes an object that refers to the series it is of.
//!
//! Files are grouped by series and sorted by position along the normal of their slices. What is no
//! one stack (a gap, slices of several orientations or sizes, two slices at one place) is refused
//! with the reason, and so is a folder of several series unless one is chosen. Rescale slope and
//! intercept are applied slice by slice. Transfer syntaxes: implicit and explicit, little and big
//! endian, RLE, JPEG baseline of 8 bits and JPEG lossless of the first predictor (what archives
//! write).
//!
//! A file of several frames that says of each where it lies (enhanced MR and CT, segmentations) is as
//! many slices. Labels may be a series too, or a segmentation of one or more segments, which [`seg`]
//! reads and writes.

mod elements;
mod fields;
mod geometry;
mod header;
mod jpeg;
mod pixels;
mod rle;
pub mod seg;
mod series;
#[cfg(test)]
mod tests;
mod walk;

pub use series::{Plane, Series, SeriesChoice, list_series};

use series::Sought;

use crate::volumes::{Loaded, ReadOptions, VolumeFormat, without_segments};
use crate::{Error, Result};
use desam_core::{Grid, LabelVolume, Volume, VolumeReader};
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
    load_volume(path, &ReadOptions::default().with_series(choice.clone())).map(|l| l.value)
}

/// Reads labels, whole numbers from 0 to 255: the one series of a folder, or a single file.
///
/// # Errors
/// As [`read_volume`]; [`Error::NotALabel`] when a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    load_labels(path, &ReadOptions::default(), None).map(|l| l.value)
}

/// Reads the series that `options` choose, with what there is to warn about.
pub(crate) fn load_volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
    let series = series::choose(path, &options.series, Sought::Images)?;
    if series.is_segmentation() {
        let labels = seg::labels(&series, options, None)?;
        let values = labels.value.data().iter().map(|label| f32::from(*label)).collect();
        let volume = Volume::new(*labels.value.grid(), values)?;
        return Ok(labels.map(|_| volume));
    }
    pixels::volume(&geometry::stack(series, path)?).map(Loaded::new)
}

/// Reads the labels of the series that `options` choose, with what there is to warn about. A
/// segmentation without a frame for every slice is put on the grid of `image`, where that is given
/// and its frames lie on it.
pub(crate) fn load_labels(
    path: &Path,
    options: &ReadOptions,
    image: Option<&Grid>,
) -> Result<Loaded<LabelVolume>> {
    let series = series::choose(path, &SeriesChoice::Only, Sought::Labels)?;
    if series.is_segmentation() {
        return seg::labels(&series, options, image);
    }
    let labels = pixels::labels(&geometry::stack(series, path)?).map(Loaded::new)?;
    Ok(without_segments(labels, path, options))
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
    let series = series::choose(path, &SeriesChoice::Only, sought)?;
    // Frames of a segmentation are no stack, since several may lie in one plane.
    let slices = if series.is_segmentation() {
        series.slices
    } else {
        geometry::stack(series, path)?.slices
    };
    let mut files: Vec<PathBuf> = slices.iter().map(|s| s.path().to_path_buf()).collect();
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
