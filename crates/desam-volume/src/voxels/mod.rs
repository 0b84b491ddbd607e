//! Decoding of stored voxels without trusting any header.
//!
//! Sizes in a header are compared with the most that the file can hold before memory is allocated, so
//! that a file of any bytes costs at most a small multiple of its size (see [`StoredImage`]).

mod affine;
mod channels;
mod collect;
mod image;
mod members;
mod path;
mod pattern;
mod scalar;
mod source;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod text_header;
mod voxel_file;
mod write;

pub(crate) use affine::{lps_affine, spaced, to_lps};
pub(crate) use channels::Channels;
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub(crate) use image::label_of;
pub(crate) use image::{OpenVoxelFile, StoredImage, VoxelCoding, read_full, truncated};
pub(crate) use path::{data_file, ends_with, expect_plain_name, stem, with_ending};
pub(crate) use pattern::{DataFiles, NumberedNames, files_of, list_dimension};
pub(crate) use scalar::Scalar;
pub(crate) use source::{FileCompression, Source};
pub(crate) use text::{HeaderText, numbers, wrong};
pub(crate) use text_header::{HeaderFields, Skip, Storage, TextHeaderImage};
pub(crate) use voxel_file::VoxelFile;
pub(crate) use write::{expect_others, gzip};
