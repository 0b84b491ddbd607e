//! DeSAM: segmentation of medical volumes that generalises from one site to others, without a
//! prompt (Gao et al., "DeSAM: Decoupling Segment Anything Model for Generalizable Medical Image
//! Segmentation").
//!
//! A program that has a trained model segments a volume in a few lines:
//!
//! ```no_run
//! use desam::{Quiet, Segmenter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Segmenter::open("run/model.safetensors".as_ref())?;
//! let summary = model.segment_file("t2.nii.gz".as_ref(), "mask.nii.gz".as_ref(), &Quiet)?;
//! println!("{:.1} ml", summary.volume_ml);
//! # Ok(())
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | see whether a data set is fit to be trained on | [`verify`] |
//! | compute frozen features once | [`embed`] |
//! | segment new volumes | [`Segmenter`], [`predict`] |
//! | draw masks over slices | [`render`] |
//! | do it on a GPU | [`device`] |
//!
//! Training, evaluation, sweeps and reports are in the crate `desam-study`.
//!
//! Nothing here prints, exits or reads the environment; long work reports to a [`Progress`].

pub mod device;
pub mod embed;
mod error;
pub mod files;
mod mode;
pub mod model;
pub mod predict;
pub mod render;
pub mod select;
pub mod verify;

pub use desam_core::{Precision, Progress, Quiet};
pub use device::DeviceChoice;
pub use error::{Error, Result};
pub use mode::{Automatic, Mode};
pub use model::{Model, ModelRecord};
pub use predict::Segmenter;

/// The tensors everything is made of.
pub use candle_core as candle;
/// The vocabulary and the traits, for those who bring parts of their own.
pub use desam_core as core;
/// Volumes, layouts, preprocessing, the feature cache, phantoms.
pub use desam_data as data;
/// The trained half.
pub use desam_decoder as decoder;
/// The frozen half, checkpoints and the hub.
pub use desam_encoder as encoder;
/// Losses and metrics.
pub use desam_metrics as metrics;
/// Loading and initialising parameters, layers, ops.
pub use desam_nn as nn;
/// Prompt sampling.
pub use desam_prompt as prompt;
