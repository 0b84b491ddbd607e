//! DICOM series reader, segmentation (SEG) reader and writer (feature `dicom`): a folder of files
//! becomes a volume, a mask becomes an object that refers to its series.
//!
//! Files are grouped by SeriesInstanceUID and sorted by ImagePositionPatient along the normal of their
//! slices. What is no regular stack (a gap, several orientations or sizes, two slices at one position)
//! is rejected with the reason, and so is a folder of several series unless one is chosen. Files of other series
//! never stop the one that is chosen, and objects that cannot be a volume (reports, screenshots,
//! images without a position) are set aside; a file that could be a slice of it and cannot be read is
//! an error, since a series without its last slice looks like a shorter one. RescaleSlope
//! and RescaleIntercept are applied slice by slice. Transfer syntaxes: implicit and explicit, little and big
//! endian, deflated, RLE, JPEG baseline of 8 bits, JPEG lossless of the first predictor (what
//! archives write), JPEG-LS and JPEG 2000.
//!
//! A file of several frames that says of each where it lies (enhanced MR and CT, segmentations) is as
//! many slices. Labels may be a series too, or a segmentation of one or more segments, which [`seg`]
//! reads and writes.

mod attributes;
mod candidate;
mod choose;
mod codec;
mod contents;
mod duplicates;
mod element;

mod encoding;
mod fields;
mod file;
mod file_meta;
mod geometry;
mod groups;
mod header;
mod inflate;
mod jpeg;
mod jpeg2000;
mod jpeg_ls;
mod neighbours;
mod objects;
mod pixels;
mod rewrite;
mod rle;
pub mod seg;
mod series;
mod series_uid;
mod slice_names;
#[cfg(test)]
mod tests;
mod warnings;

pub use crate::series_choice::{Plane, SeriesChoice};
pub use contents::list_series;
pub use objects::volume_of_objects;
pub use series::Series;

use choose::ChosenSeries;
use contents::{Contents, ObjectKinds};
use geometry::Stack;

use crate::reading::{Loaded, ReadOptions};
use crate::{Error, Result};
use desam_core::{Grid, LabelVolume, Volume};
use std::path::{Path, PathBuf};

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
    load_labels(path, &ReadOptions::default(), None).map(|loaded| loaded.value)
}

/// Reads the series that `options` choose, with warnings.
pub(crate) fn load_volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
    let mut chosen = choose::choose(path, &options.series, ObjectKinds::Images)?;
    let loaded = if chosen.series.is_segmentation() {
        let labels = seg::labels(&chosen.series, options, None)?;
        let values = labels.value.data().iter().map(|label| f32::from(*label)).collect();
        let volume = Volume::new(*labels.value.grid(), values)?;
        labels.map(|_| volume)
    } else {
        pixels::volume(&stack(path, &mut chosen)?, options.max_bytes)?
    };
    Ok(chosen.with(loaded))
}

/// Reads the labels of the series that `options` choose, with warnings. A segmentation without a frame
/// for every slice is put on the grid of `image`, if that is given and the frames lie on it.
pub(crate) fn load_labels(
    path: &Path,
    options: &ReadOptions,
    image: Option<&Grid>,
) -> Result<Loaded<LabelVolume>> {
    let mut chosen = choose::choose(path, &options.series, ObjectKinds::Labels)?;
    let loaded = if chosen.series.is_segmentation() {
        seg::labels(&chosen.series, options, image)?
    } else {
        let labels = pixels::labels(&stack(path, &mut chosen)?, options.max_bytes)?;
        labels.without_segments(path, options)
    };
    Ok(chosen.with(loaded))
}

/// The stack of a chosen series; warnings go to `chosen`.
fn stack(path: &Path, chosen: &mut ChosenSeries) -> Result<Stack> {
    let mut stack = geometry::stack(chosen.series.clone(), path)?;
    chosen.warnings.append(&mut stack.warnings);
    chosen.warnings.extend(neighbours::warning(path, &stack));
    Ok(stack)
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
        SeriesChoice::Uid(uid) => Contents::of_series(path, ObjectKinds::Images, uid)?,
        _ => Contents::of_folder(path, ObjectKinds::Images)?,
    };
    Ok(contents.series.iter().any(|s| s.fits(choice) || s.has_part(choice)))
}

/// The files of the one series that `path` holds, in the order of their slices.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    // The images where there are any: segmentations beside them are of them.
    let images =
        path.is_dir() && !Contents::of_folder(path, ObjectKinds::Images)?.series.is_empty();
    let sought = if images { ObjectKinds::Images } else { ObjectKinds::Labels };
    let mut chosen = choose::choose(path, &SeriesChoice::Only, sought)?;
    // Frames of a segmentation are no stack, since several may lie in one plane.
    let slices = if chosen.series.is_segmentation() {
        chosen.series.slices
    } else {
        stack(path, &mut chosen)?.slices
    };
    let mut files: Vec<PathBuf> = slices.iter().map(|s| s.path().to_path_buf()).collect();
    files.dedup();
    Ok(files)
}

/// Whether a file of these first bytes is DICOM.
pub(crate) fn is_start(bytes: &[u8]) -> bool {
    file_meta::find(bytes).is_some()
}

/// An [`Error::Dicom`].
fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Dicom { path: path.to_path_buf(), problem: problem.into() }
}
