//! NRRD reader and writer (`.nrrd`, and `.nhdr` with a separate data file), after Teem's format
//! description and ITK.
//!
//! Raw, gzip, bzip2, hex and text encodings are read, from one data file or several (`LIST`, or a
//! pattern such as `slice%03d.raw 1 20 1`). Space directions and origin become the affine, whatever
//! the space: RAS, LAS and LPS by name. A file without a space that is one of these has its axes
//! in LPS, as ITK takes it; one with `spacings` alone has them along L, P and S.

mod fields;
mod geometry;
mod read;
mod segments;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use fields::MAGIC;
pub(crate) use read::files;
pub use read::{load_labels, load_volume, read_labels, read_volume};
pub(crate) use write::{data_file_of, expect_writable_name};
pub use write::{write_labels, write_mask_like};
