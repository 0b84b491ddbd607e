//! Voxels as files hold them, decoded without trusting any header.
//!
//! What a header promises is compared with what the file can hold before memory is taken, so that
//! a file of any bytes costs at most a small multiple of its size (see [`StoredImage`]).

mod affine;
mod headed;
mod image;
mod path;
mod scalar;
mod source;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod write;

pub(crate) use affine::{lps_affine, spaced, to_lps};
pub(crate) use headed::{Headed, HeaderFields, Skip, Storage};
#[cfg(feature = "dicom")]
pub(crate) use image::label_of;
pub(crate) use image::{Coding, StoredImage, read_full, truncated};
pub(crate) use path::{data_file, ends_with, file_name, stem, with_ending};
pub(crate) use scalar::Scalar;
pub(crate) use source::{Packing, Source};
pub(crate) use text::{HeaderText, numbers, wrong};
pub(crate) use write::{expect_others, gzip};
