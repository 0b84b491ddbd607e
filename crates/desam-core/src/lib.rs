//! Core types and traits of DeSAM (decoupled Segment Anything for medical images).
//!
//! - **Types** of what the other crates exchange: volumes and masks ([`Volume`], [`LabelVolume`],
//!   [`LabelMask`], [`ClassMask`], [`BinaryMask`], and the [`ClassTable`] of labels), prompts ([`Prompt`]), features, embeddings and predictions.
//! - **Traits** for the replaceable parts: image encoder, prompt encoder, mask decoder, prompt sampler,
//!   loss, data set, progress.
//! - **Utilities**: [`pipeline`] (prefetching), [`CancellationToken`], [`named!`] enums, output
//!   [`Destination`]s, [`temporary`] files of atomic writes, paths as [`text`].
//!
//! Everything on tensors is behind the feature `tensor`, on by default; without it candle is not
//! compiled.
//!
//! ```
//! use desam_core::{Affine, BinaryMask, Grid, Volume};
//!
//! # fn main() -> Result<(), desam_core::Error> {
//! // Two slices of 3 rows by 4 columns, voxels of 0.5 × 0.5 × 3 mm.
//! let grid = Grid { dims: [4, 3, 2], affine: Affine::from_spacing([0.5, 0.5, 3.0]) };
//! let volume = Volume::new(grid, vec![0.0; grid.len()])?;
//! assert_eq!(volume.slice(1).map(<[f32]>::len), Some(12));
//!
//! let mask = BinaryMask::new(2, 3, vec![0, 1, 1, 0, 0, 0])?;
//! assert_eq!(mask.area(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Letters used in shapes
//!
//! | letter | meaning |
//! |---|---|
//! | `B` | images in a batch |
//! | `N` | prompts (`B = 1`: all for that image; else `N = B`, one an image) |
//! | `S` | side of the encoder's square input, pixels (1024 for SAM) |
//! | `G` | side of the feature grid, `S / patch` (64) |
//! | `M` | side of a mask's logits, `G` doubled once for every tap but one (256) |
//! | `C` | channels of a tap (768, 1024, 1280) |
//! | `E` | channels of the embedding (256) |
//! | `T` | sparse prompt tokens |
//! | `K` | mask tokens, hence IoU outputs (4) |
//! | `L` | classes that a model tells apart, without background (1) |

pub mod files;

mod cancel;
mod class_mask;
mod classes;
mod convert;
mod dataset;
#[cfg(feature = "tensor")]
mod decoder;
mod destination;
#[cfg(feature = "tensor")]
mod embedding;
mod error;
#[cfg(feature = "tensor")]
mod features;
mod labels;
#[cfg(feature = "tensor")]
mod loss;
mod mask;
mod named;
pub mod pipeline;
mod precision;
mod progress;
mod prompt;
mod sampler;
pub mod serde_path;
mod spec;
pub mod temporary;
pub mod text;
mod volume;

pub use cancel::{CancellableProgress, CancellationToken};
pub use class_mask::ClassMask;
pub use classes::{ClassTable, MAX_CLASSES};
pub use dataset::Dataset;
#[cfg(feature = "tensor")]
pub use decoder::{
    ImageContext, LevelContext, MaskDecoder, MaskPrediction, PromptOutput, PromptReader,
    SequentialReader,
};
pub use destination::Destination;
#[cfg(feature = "tensor")]
pub use embedding::{PromptEmbedding, PromptEncoder, Prompts};
pub use error::{BoxError, Error, Result};
#[cfg(feature = "tensor")]
pub use features::{ImageEncoder, ImageFeatures};
pub use labels::LabelMask;
#[cfg(feature = "tensor")]
pub use loss::{Loss, LossTarget, LossTerm, LossValue};
pub use mask::BinaryMask;
pub use named::{Named, UnknownName};
pub use precision::Precision;
pub use progress::{Progress, Quiet};
pub use prompt::{Point, PointLabel, Prompt, PromptBox};
pub use sampler::{PromptSampler, SampledPrompt};
pub use spec::EncoderSpec;
pub use volume::{Affine, Grid, LUMA, LabelVolume, Volume};

/// Used by the expansion of [`named!`].
#[doc(hidden)]
pub mod __private {
    pub use crate::named::deserialize;
    pub use serde;
}
