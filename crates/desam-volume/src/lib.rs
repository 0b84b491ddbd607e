//! Medical volumes on disk: NIfTI, MetaImage, NRRD and DICOM, read and written on one convention.
//!
//! Voxels come out with `i` fastest, and the affine takes voxel indices to millimetres in RAS+,
//! whatever the format says in its own terms (sform and qform, LPS, ImageOrientationPatient). A file
//! may be anything: readers neither panic nor allocate more than a small multiple of the file's
//! size, and writers are atomic. The crate needs no tensors.

pub mod atomic;
mod bytes;
#[cfg(feature = "dicom")]
pub mod dicom;
mod error;
pub mod fallible;
pub mod listing;
pub mod metaimage;
pub mod nifti;
pub mod nrrd;
mod same_grid;
pub mod volumes;
mod voxels;

pub use bytes::human_bytes;
pub use error::{Error, Result};
pub use same_grid::expect_same_grid;
