//! The trained half of DeSAM.
//!
//! [`Prim`] is SAM's two-way transformer with its IoU head: it reads the prompt, predicts how good
//! it is and hands on a mask embedding. [`Pimm`] is a U-Net-like decoder of SE residual blocks over
//! the encoder's taps: it fuses the mask embedding at its bottleneck and draws the mask.
//! [`DesamDecoder`] is the two together behind `desam_core::MaskDecoder`; [`SamDecoder`] is SAM's own
//! mask decoder. A [`DecoderConfig`] names a [`Variant`] and builds the [`Decoder`] that it is.
//!
//! Parameter names are the official program's (`mask_decoder.*`, `mask_decoder.pimm.*`), so its
//! checkpoints load here and ours load there. Shapes are in the letters of `desam_core`.

mod config;
mod decoder;
mod desam;
mod error;
mod inert;
mod pimm;
mod prim;
mod reader;
mod sam;
mod sam_head;
mod se_block;
mod two_way;
mod variant;

pub use config::{DecoderConfig, SqueezePlacement};
pub use decoder::Decoder;
pub use desam::DesamDecoder;
pub use error::{Error, Result};
pub use pimm::{Pimm, PimmContext};
pub use prim::Prim;
pub use sam::SamDecoder;
pub use sam_head::SamMaskHead;
pub use se_block::{SeResBlock, SplitInput};
pub use two_way::{TwoWayOutput, TwoWayTransformer};
pub use variant::Variant;
