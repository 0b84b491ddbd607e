//! The frozen half of DeSAM: SAM's image encoder with taps, its prompt encoder, checkpoints.
//!
//! - [`vit`]: the image encoder. A configuration builds it; a checkpoint's shapes give the
//!   configuration.
//! - [`prompt`]: the prompt encoder, for points, boxes, masks and their mixtures.
//! - [`checkpoint`]: `.pth` and `.safetensors` in SAM's own and transformers' key layouts, read
//!   into tensors under the official names and written back atomically.
//! - [`builtin`]: the `tiny` SAM that comes with this crate.
//! - [`FrozenSam`]: both encoders from one checkpoint, or from a seed.
//! - `hub` (feature `hub`): SAM's weights by name, pinned, checked and cached.
//!
//! Shapes are given in the letters of `desam_core`.

pub mod builtin;
pub mod checkpoint;
mod error;
#[cfg(feature = "hub")]
pub mod hub;
pub mod prompt;
mod sam;
mod shapes;
pub mod vit;

pub use checkpoint::{Checkpoint, CheckpointSummary};
pub use error::{Error, Result};
pub use prompt::{PromptEncoderConfig, SamPromptEncoder};
pub use sam::{FrozenSam, LoadedSam, SamOptions};
pub use vit::{VitConfig, VitEncoder};
