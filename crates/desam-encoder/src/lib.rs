//! DeSAM's frozen half: SAM's image encoder with taps, its prompt encoder, and checkpoints.
//!
//! - [`vit`]: the image encoder, a vision transformer. A configuration builds it, and is inferred
//!   from a checkpoint's shapes.
//! - [`tiny_vit`]: MobileSAM's image encoder, an eighteenth of ViT-B's parameters.
//! - [`prompt`]: the prompt encoder, for points, boxes, masks and their mixtures.
//! - [`adapter`]: parameter-efficient fine-tuning of the frozen image encoder, DAPSAM's adapters and
//!   LoRA.
//! - [`checkpoint`]: `.pth` and `.safetensors` in SAM's own and transformers' key layouts, read
//!   into tensors under the official names and written back atomically.
//! - [`builtin`]: the `tiny` SAM that comes with this crate.
//! - [`FrozenSam`]: both encoders from one checkpoint, or from a seed.
//! - `hub` (feature `hub`): SAM's weights by name, pinned, checked and cached.
//!
//! Letters in shapes are those of [`desam_core`].
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use desam_core::{ImageEncoder, Point, PromptEncoder, Prompts};
//! use desam_encoder::{FrozenSam, SamOptions, builtin};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let loaded = FrozenSam::load(&builtin::tiny()?, &SamOptions::default())?;
//! loaded.report.check()?; // nothing missing, unexpected or misshapen
//! let sam = loaded.sam;
//!
//! // Normalised pixels of a 256×256 image.
//! let pixels = Tensor::zeros((1, 3, 256, 256), DType::F32, &Device::Cpu)?;
//! let features = sam.image.encode(&pixels)?;
//! assert_eq!(features.embedding.dims(), [1, 64, 16, 16]);
//! assert_eq!(features.taps.len(), 3);
//!
//! // One point is two tokens: the point, and SAM's padding point.
//! let embedding = sam.prompt.encode(&Prompts::points(&[Point::foreground(120.0, 96.0)])?)?;
//! assert_eq!(embedding.sparse.dims(), [1, 2, 64]);
//! # Ok(())
//! # }
//! ```

pub mod adapter;
pub mod builtin;
pub mod checkpoint;
mod error;
mod forward_hook;
#[cfg(feature = "hub")]
pub mod hub;
mod image_batch;
mod image_encoder;
mod neck;
pub mod prompt;
mod sam;
mod shapes;
pub mod tiny_vit;
pub mod vit;

pub use adapter::{AdaptedEncoder, AdapterKind, BlockAdapter};
pub use checkpoint::{Checkpoint, CheckpointSummary};
pub use error::{Error, Result};
pub use image_encoder::{SamImageConfig, SamImageEncoder};
pub use prompt::{PromptEncoderConfig, SamPromptEncoder};
pub use sam::{FrozenSam, LoadedSam, SamOptions};
pub use tiny_vit::{TinyVitConfig, TinyVitEncoder};
pub use vit::{ResizedPositions, VitConfig, VitEncoder};
