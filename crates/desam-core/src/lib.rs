//! The vocabulary of DeSAM: what flows between its parts, and the traits they meet through.
//!
//! Nothing here does arithmetic worth timing. A third party's image encoder, prompt sampler,
//! decoder, loss, metric or file reader implements a trait of this crate and fits into the rest.
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

pub mod files;

mod cancel;
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
#[cfg(feature = "tensor")]
mod loss;
mod mask;
mod named;
pub mod pipeline;
mod precision;
mod progress;
mod prompt;
pub mod serde_path;
mod spec;
pub mod temporary;
pub mod text;
mod volume;

pub use cancel::{CancellableProgress, CancellationToken};
pub use dataset::Dataset;
#[cfg(feature = "tensor")]
pub use decoder::{
    ImageContext, MaskDecoder, MaskPrediction, OneByOne, PromptReader, PromptReading,
};
pub use destination::Destination;
#[cfg(feature = "tensor")]
pub use embedding::{PromptEmbedding, PromptEncoder, Prompts};
pub use error::{BoxError, Error, Result};
#[cfg(feature = "tensor")]
pub use features::{ImageEncoder, ImageFeatures};
#[cfg(feature = "tensor")]
pub use loss::{Loss, LossTarget, LossTerm, LossValue};
pub use mask::BinaryMask;
pub use named::{Named, UnknownName};
pub use precision::Precision;
pub use progress::{Progress, Quiet};
pub use prompt::{Point, PointLabel, Prompt, PromptBox, PromptSampler, SampledPrompt};
pub use spec::EncoderSpec;
pub use volume::{Affine, Grid, LabelVolume, Volume, VolumeReader};

/// What [`named!`] expands to needs these.
#[doc(hidden)]
pub mod __private {
    pub use crate::named::deserialize;
    pub use serde;
}
