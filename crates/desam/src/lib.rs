//! DeSAM: segmentation of medical volumes without user prompts, trained to generalise from one site
//! to others (Gao et al., "DeSAM: Decoupling Segment Anything Model for Generalizable Medical Image
//! Segmentation").
//!
//! Segment a file, with a trained model:
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/toy/files.rs"));
//! use desam::{Quiet, Segmenter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let _files = documented_files();
//! let segmenter = Segmenter::open("run/model.safetensors")?;
//! let summary = segmenter.segment_file("t2.nii.gz", "mask.nii.gz", &Quiet)?;
//! println!("{}", summary.size);
//! # Ok(())
//! # }
//! ```
//!
//! Segment voxels in memory; no file is touched:
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/toy/files.rs"));
//! use desam::types::{Affine, Grid, Volume};
//! use desam::{Quiet, Segmenter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let _files = documented_files();
//! # let segmenter = Segmenter::open("run")?;
//! let grid = Grid { dims: [320, 320, 24], affine: Affine::from_spacing([0.6, 0.6, 3.0]) };
//! let voxels: Vec<f32> = vec![0.0; grid.len()]; // `i` fastest
//! let found = segmenter.segment(&Volume::new(grid, voxels)?, &Quiet)?;
//! assert_eq!(found.mask.data().len(), grid.len());
//! # Ok(())
//! # }
//! ```
//!
//! Segment one slice by a user's prompts, its features computed once:
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/toy/files.rs"));
//! use desam::Segmenter;
//! use desam::predict::{GraySlice, SlicePrompt};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let _files = documented_files();
//! # let segmenter = Segmenter::open("run")?;
//! let image = GraySlice::new(320, 320, [0.6, 0.6], vec![0.0; 320 * 320])?;
//! let encoded = segmenter.encode_slice(&image)?;
//! let found = encoded.segment(&SlicePrompt::new().with_box([120.0, 130.0], [200.0, 210.0]))?;
//! println!("{} pixels, predicted IoU {:?}", found.mask.area(), found.predicted_iou);
//! # Ok(())
//! # }
//! ```
//!
//! Stop long work from another thread, which leaves no part of a mask behind:
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/toy/files.rs"));
//! use desam::{CancellationToken, Error, Quiet, Segmenter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let _files = documented_files();
//! # let segmenter = Segmenter::open("run")?;
//! let token = CancellationToken::new();
//! let button = token.clone();
//! std::thread::spawn(move || button.cancel()).join().expect("nothing in it panics");
//! let ended = segmenter.segment_file("t2.nii.gz", "mask.nii.gz", &token.watch(&Quiet));
//! assert!(matches!(ended, Err(Error::Cancelled { done: 0, .. })));
//! assert!(!std::path::Path::new("mask.nii.gz").exists());
//! # Ok(())
//! # }
//! ```
//!
//! | task | see |
//! |---|---|
//! | verify that a data set is fit for training | [`verify`](verify::verify) |
//! | compute features once | [`embed`](embed::embed) |
//! | segment volumes and slices | [`Segmenter`], [`predict`] |
//! | fine-tune SAM's encoder: DAPSAM, LoRA | [`adapted`] |
//! | assemble a model from other encoders and decoders | [`Model::from_parts`] |
//! | stop long work from another thread | [`CancellationToken`] |
//! | draw masks over slices | [`render`] |
//! | compute on a GPU | [`Compute`], [`device`] |
//!
//! Training, evaluation, sweeps and reports are in the crate `desam-study`.
//!
//! [`Segmenter`], [`Model`] and [`EncodedSlice`](predict::EncodedSlice) are `Send + Sync`: one of
//! them serves many threads at once. Nothing here prints, exits or reads the environment; long work
//! reports to a [`Progress`].

pub mod adapted;
mod compute;
pub mod device;
pub mod embed;
mod error;
pub mod files;
pub mod model;
pub mod predict;
mod prompting;
pub mod render;
pub mod select;
pub mod verify;

pub use compute::Compute;
pub use desam_core::{CancellationToken, Precision, Progress, Quiet};
pub use device::DeviceChoice;
pub use error::{Error, Result};
pub use model::{Model, ModelRecord};
pub use predict::Segmenter;
pub use prompting::{Mode, PAPER_GRID, PresenceRule, PromptingConfig};

/// The tensors everything is made of.
pub use candle_core as candle;
/// Shared types and the traits of encoders, decoders and samplers.
pub use desam_core as types;
/// Volumes on disk, layouts, preprocessing, the feature cache, phantoms.
pub use desam_data as data;
/// The trained mask decoders.
pub use desam_decoder as decoder;
/// The frozen encoders, checkpoints and the hub.
pub use desam_encoder as encoder;
/// Losses and metrics.
pub use desam_metrics as metrics;
/// Loading and initialising parameters, layers, ops.
pub use desam_nn as nn;
/// Prompt sampling.
pub use desam_prompt as prompt;
/// Formats of volumes: NIfTI, MetaImage, NRRD, DICOM.
pub use desam_volume as volume;
