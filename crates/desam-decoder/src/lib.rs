//! DeSAM's trained half: the mask decoder.
//!
//! - [`Prim`], the prompt-relevant IoU module, is SAM's two-way transformer with its IoU head: it
//!   encodes the prompt, predicts the IoU of its mask, and outputs a mask embedding.
//! - [`Pimm`], the prompt-invariant mask module, is a U-Net-like decoder of residual blocks with
//!   squeeze-and-excitation over the encoder's taps; it fuses the mask embedding at its bottleneck and
//!   outputs mask logits.
//! - [`DesamDecoder`] is the two behind [`MaskDecoder`](desam_core::MaskDecoder); [`SamDecoder`] is
//!   SAM's own mask decoder. A [`DecoderConfig`] names a [`Variant`] and builds its [`Decoder`].
//! - [`ClassDecoder`] is SAM's mask decoder with one mask token a class, for fine-tuned SAMs without
//!   prompts; [`PromptGenerator`] is DAPSAM's source of its dense prompt.
//!
//! Parameter names are the official program's (`mask_decoder.*`, `mask_decoder.pimm.*`), so its
//! checkpoints load here and ours load there. Letters in shapes are those of [`desam_core`].
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use desam_core::{EncoderSpec, ImageFeatures, MaskDecoder, PromptEmbedding};
//! use desam_decoder::DecoderConfig;
//! use desam_nn::params::{LoadOptions, Tensors, load};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A small encoder: a grid of 4×4, three taps of 8 channels, an embedding of 32.
//! let spec = EncoderSpec {
//!     input_side: 64,
//!     patch: 16,
//!     tap_channels: vec![8; 3],
//!     embedding_channels: 32,
//! };
//! // Parameters that no checkpoint gives are initialised from a seed.
//! let config = DecoderConfig::tiny(&spec);
//! let decoder = load(Tensors::new(), &LoadOptions::seeded(7), |vb| config.build(vb))?.module;
//!
//! let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
//! let taps = vec![zeros(&[1, 8, 4, 4])?; 3];
//! let features = ImageFeatures { taps, embedding: zeros(&[1, 32, 4, 4])? };
//! // Two prompts of one point: a token for the point and one of padding each.
//! let prompts = PromptEmbedding { sparse: zeros(&[2, 2, 32])?, dense: zeros(&[2, 32, 4, 4])? };
//!
//! let prediction = decoder.decode(&features, &zeros(&[1, 32, 4, 4])?, &prompts)?;
//! assert_eq!(prediction.logits.dims(), [2, 1, 16, 16]);
//! assert_eq!(prediction.iou.dims(), [2, 1]);
//! # Ok(())
//! # }
//! ```

mod class_decoder;
mod config;
mod decoder;
mod desam;
mod error;
mod inert;
mod pimm;
mod prim;
mod prompt_generator;
mod reader;
mod sam;
mod sam_head;
mod se_block;
mod two_way;
mod variant;

pub use class_decoder::{ClassDecoder, ClassDecoderConfig, ClassMasks};
pub use config::{DecoderConfig, SqueezePlacement};
pub use decoder::Decoder;
pub use desam::DesamDecoder;
pub use error::{Error, Result};
pub use pimm::Pimm;
pub use prim::Prim;
pub use prompt_generator::{GeneratedPrompt, PromptGenerator, PromptGeneratorConfig};
pub use sam::SamDecoder;
pub use sam_head::SamMaskHead;
pub use se_block::{SeResBlock, SplitInput};
pub use two_way::{TwoWayOutput, TwoWayTransformer};
pub use variant::Variant;
