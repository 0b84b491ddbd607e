//! SAM's prompt encoder: points, boxes, masks and their mixtures.
//!
//! Kept from SAM's `prompt_encoder.py`: half a pixel added to every coordinate, coordinates scaled
//! by the input side, random Fourier features, one learned vector a label and a box corner, a
//! padding point where points come without a box, three small convolutions for masks.

mod config;
mod encoder;

pub use config::PromptEncoderConfig;
pub use encoder::SamPromptEncoder;
