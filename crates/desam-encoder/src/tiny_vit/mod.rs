//! TinyViT, MobileSAM's image encoder: a convolutional stem and first stage, then three stages of window
//! attention, with taps in the third. 5.7 M parameters and 38.8 GMAC an image of 1024², where ViT-B has
//! 90 M and 486.
//!
//! Kept from MobileSAM's `tiny_vit_sam.py`: window padding before the norm, so that a padding token is
//! the norm's bias and is attended to; queries, keys and values ordered head by head; a depthwise
//! convolution without a residual between attention and perceptron; GELU after an MBConv's sum; stride 1 in
//! the last downsampling. Not kept: the fixed side of 1024 (no parameter depends on it), and the
//! classification head, which nothing uses.
//!
//! Everything is computed channels-last, so that pointwise convolutions are linear layers. Batch
//! norms are folded into the convolutions before them when the encoder is built.

mod attention;
mod block;
mod config;
mod encoder;
mod folded_conv;
mod mbconv;

pub use config::TinyVitConfig;
pub use encoder::TinyVitEncoder;
