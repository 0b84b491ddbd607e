//! NIfTI-1 files in and out, on their own grid.
//!
//! A small reader of ours, since a file may be anything: it neither panics nor allocates for
//! voxels that are not there. Single files (`.nii`, `.nii.gz`) and pairs (`.hdr` with `.img`) of
//! either byte order are read; whether a file is compressed is seen from its first bytes, not from
//! its name.

mod header;
mod orientation;
mod pair;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::files;
pub use read::{read_labels, read_volume};
pub(crate) use write::written_files;
pub use write::{write_labels, write_mask_like, write_volume};

use crate::voxels::ends_with;
use desam_core::{LabelVolume, Volume, VolumeReader};
use std::path::Path;

/// What the files that hold a header end in, those of a single file first; then what the voxels of
/// a pair end in.
const ENDINGS: [&str; 6] = [".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz"];

/// Reads `.nii` and `.nii.gz` files, and `.hdr` with `.img` by either name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NiftiReader;

impl VolumeReader for NiftiReader {
    fn accepts(&self, path: &Path) -> bool {
        ENDINGS.iter().any(|ending| ends_with(path, ending))
    }

    fn read(&self, path: &Path) -> desam_core::Result<Volume> {
        read_volume(path).map_err(desam_core::Error::external)
    }

    fn read_labels(&self, path: &Path) -> desam_core::Result<LabelVolume> {
        read_labels(path).map_err(desam_core::Error::external)
    }
}
