//! Medical volumes on disk: NIfTI, MetaImage, NRRD and DICOM, read and written on one convention; and
//! two-dimensional images (PNG, JPEG, TIFF, BMP) as volumes of one slice.
//!
//! Voxels come out with `i` fastest, and the affine takes voxel indices to millimetres in RAS+,
//! whatever the format says in its own terms (sform and qform, LPS, ImageOrientationPatient). A file
//! may be anything: readers neither panic nor allocate more than a small multiple of the file's
//! size, and writers are atomic. The crate needs no tensors.
//!
//! ```
//! use desam_core::{Affine, Grid, Volume};
//! use desam_volume::{nifti, volumes};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("t2.nii.gz");
//! let grid = Grid { dims: [4, 3, 2], affine: Affine::from_spacing([0.5, 0.5, 3.0]) };
//! nifti::write_volume(&path, &Volume::new(grid, vec![7.0; 24])?)?;
//!
//! let volume = volumes::read_volume(&path)?;
//! println!("{:?} voxels of {:?} mm", volume.grid().dims, volume.grid().spacing());
//! assert_eq!(volume.grid().dims, [4, 3, 2]);
//! assert_eq!(volume.grid().spacing(), [0.5, 0.5, 3.0]);
//! # Ok(())
//! # }
//! ```
//!
//! [`volumes`] detects the format; [`nifti`], [`metaimage`], [`nrrd`], `dicom` (feature `dicom`) and
//! `raster` (feature `image`) are the formats themselves. A format that is not among them is added by a
//! [`VolumeReader`](volumes::VolumeReader). What may go wrong with a file is an [`Error`] that names it.

pub mod atomic;
mod bytes;
#[cfg(feature = "dicom")]
pub mod dicom;
mod error;
pub mod fallible;
mod format;
pub mod listing;
pub mod metaimage;
pub mod nifti;
pub mod nrrd;
#[cfg(feature = "image")]
pub mod raster;
mod reading;
mod same_grid;
mod segment_color;
#[cfg(feature = "dicom")]
mod series_choice;
pub mod volumes;
mod voxels;

pub use bytes::human_bytes;
pub use error::{Error, Result};
pub use same_grid::expect_same_grid;
pub use segment_color::SEGMENT_RGB;
