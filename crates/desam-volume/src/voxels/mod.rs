//! Voxels as files hold them, decoded without trusting any header.
//!
//! What a header promises is compared with what the file can hold before memory is taken, so that
//! a file of any bytes costs at most a small multiple of its size (see [`StoredImage`]).

mod affine;
mod channels;
mod collect;
mod headed;
mod image;
mod members;
mod path;
mod pattern;
mod piece;
mod scalar;
mod source;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod write;

pub(crate) use affine::{lps_affine, spaced, to_lps};
pub(crate) use channels::Channels;
pub(crate) use headed::{Headed, HeaderFields, Skip, Storage};
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub(crate) use image::label_of;
pub(crate) use image::{Coding, OpenPiece, StoredImage, read_full, truncated};
pub(crate) use path::{data_file, ends_with, expect_plain_name, stem, with_ending};
pub(crate) use pattern::{DataFiles, NumberedNames, files_of, list_dimension};
pub(crate) use piece::Piece;
pub(crate) use scalar::Scalar;
pub(crate) use source::{Packing, Source};
pub(crate) use text::{HeaderText, numbers, wrong};
pub(crate) use write::{expect_others, gzip};
