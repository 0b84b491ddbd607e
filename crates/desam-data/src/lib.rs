//! Data for DeSAM: volumes on disk, site layouts, splits, preprocessing, the feature cache and
//! phantoms that need no download.

pub mod atomic;
pub mod augment;
pub mod cache;
#[cfg(feature = "dicom")]
pub mod dicom;
pub mod embed;
mod error;
mod fallible;
pub mod layout;
pub mod lock;
pub mod metaimage;
pub mod nifti;
mod noise;
pub mod nrrd;
pub mod phantom;
pub mod postprocess;
pub mod preprocess;
pub mod split;
pub mod verify;
pub mod volumes;
mod voxels;

pub use error::{Error, Result};
