//! NIfTI files in and out, on their own grid; Analyze 7.5 in.
//!
//! A small reader of ours, since a file may be anything: it neither panics nor allocates for
//! voxels that are not there. Single files (`.nii`, `.nii.gz`) and pairs (`.hdr` with `.img`) of
//! either byte order and of both versions of the format are read; whether a file is compressed is
//! seen from its first bytes, not from its name. A plane is a volume of one slice; of a file with
//! further dimensions one channel is read. A pair without a magic is Analyze 7.5, whose axes are
//! taken as nibabel takes them: left, anterior, superior, the middle of the volume at the origin.

mod analyze;
mod facts;
mod field;
mod header;
mod orientation;
mod pair;
mod read;
mod rotation;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::{files, itk_affine};
pub use read::{load_labels, load_volume, read_labels, read_volume};
pub(crate) use write::written_files;
pub use write::{write_labels, write_mask_like, write_volume, write_volume_like};

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
