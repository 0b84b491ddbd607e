//! Data for DeSAM: site layouts, train/validation splits, preprocessing, data augmentation, the feature
//! cache and synthetic phantoms.
//!
//! ```
//! use desam_core::{EncoderSpec, Quiet};
//! use desam_data::layout;
//! use desam_data::phantom::{PhantomConfig, write_phantoms};
//! use desam_data::preprocess::PreprocessConfig;
//! use desam_volume::volumes;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One phantom case at each of six sites, in the layout SITE/CaseXX.nii.gz.
//! let dir = tempfile::tempdir()?;
//! let config = PhantomConfig { cases_per_site: 1, ..PhantomConfig::default() };
//! write_phantoms(dir.path(), &config, &Quiet)?;
//! let cases = layout::discover(dir.path())?;
//! assert_eq!(cases.len(), 6);
//!
//! // Its slices as the encoder takes them, and the ground truth on the masks' grid.
//! let image = volumes::read_volume(&cases[0].image)?;
//! let labels = volumes::read_labels(cases[0].label.as_ref().ok_or("no label")?)?;
//! let spec =
//!     EncoderSpec { input_side: 64, patch: 16, tap_channels: vec![8; 3], embedding_channels: 8 };
//! let prepared = PreprocessConfig::paper().prepare(&image, &spec)?;
//! println!("{:?} voxels, {:?} mm: {} slices", image.grid().dims, image.grid().spacing(), prepared.len());
//! let masks = prepared.labels(&labels)?;
//! assert_eq!(masks.len(), prepared.len());
//! assert_eq!(prepared.restore(&masks)?.grid(), image.grid());
//! # Ok(())
//! # }
//! ```

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

pub use error::{Error, Result};
