//! NIfTI-1 files in and out, on their own grid.
//!
//! A small reader of ours, since a file may be anything: it neither panics nor allocates for
//! voxels that are not there. Single files (`.nii`, `.nii.gz`) of either byte order are read;
//! whether a file is compressed is seen from its first bytes, not from its name.

mod header;
mod orientation;
mod read;
mod source;
#[cfg(test)]
mod tests;
mod write;

pub use read::{read_labels, read_volume};
pub use write::{write_labels, write_mask_like, write_volume};

use desam_core::{LabelVolume, Volume, VolumeReader};
use std::path::Path;

/// Reads `.nii` and `.nii.gz` files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NiftiReader;

impl VolumeReader for NiftiReader {
    fn accepts(&self, path: &Path) -> bool {
        let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase());
        name.is_some_and(|n| n.ends_with(".nii") || n.ends_with(".nii.gz"))
    }

    fn read(&self, path: &Path) -> desam_core::Result<Volume> {
        read_volume(path).map_err(desam_core::Error::external)
    }

    fn read_labels(&self, path: &Path) -> desam_core::Result<LabelVolume> {
        read_labels(path).map_err(desam_core::Error::external)
    }
}
