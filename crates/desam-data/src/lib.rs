//! Data for DeSAM: site layouts, train/validation splits, preprocessing, data augmentation, the feature
//! cache and synthetic phantoms.

pub mod augment;
pub mod cache;
pub mod embed;
mod error;
pub mod layout;
pub mod lock;
mod noise;
pub mod phantom;
pub mod postprocess;
pub mod preprocess;
pub mod split;
pub mod verify;

#[cfg(feature = "dicom")]
pub use desam_volume::dicom;
pub use desam_volume::{atomic, metaimage, nifti, nrrd, volumes};
pub use error::{Error, Result};
