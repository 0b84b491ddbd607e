//! NIfTI-1 and NIfTI-2: reader and writer; Analyze 7.5: reader.
//!
//! The affine is the sform where its code is positive, else the qform, else the spacing alone. No header
//! is trusted: the reader neither panics nor allocates for voxels that are not there. Single files (`.nii`, `.nii.gz`) and pairs (`.hdr` with `.img`) of
//! either byte order and of both versions of the format are read; whether a file is compressed is
//! seen from its first bytes, not from its name. A plane is a volume of one slice; of a file with
//! further dimensions one channel is read. A pair without a magic is Analyze 7.5, whose axes are
//! taken as nibabel takes them: left, anterior, superior, the middle of the volume at the origin.

mod analyze;
mod field;
mod header;
mod header_info;
#[cfg(feature = "nifti")]
mod object;
mod orientation;
mod pair;
mod read;
mod rotation;
#[cfg(test)]
mod tests;
mod version;
mod write;

#[cfg(feature = "nifti")]
pub use object::NiftiObject;
pub(crate) use read::{files, itk_affine};
pub use read::{load_labels, load_volume, read_labels, read_volume};
pub(crate) use write::written_files;
pub use write::{write_labels, write_mask_like, write_volume, write_volume_like};
