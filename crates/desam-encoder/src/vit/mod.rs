//! SAM's image encoder: a plain vision transformer (ViT) with window attention and global attention,
//! with taps after its global blocks.
//!
//! Kept from SAM's `image_encoder.py`: pre-norm blocks, one linear map for q, k and v, windows partitioned
//! after the first norm and padded with zeros, relative positions split by axis and added to the
//! scores from the unscaled q, exact-erf GELU, layer norms with eps 1e-6, a neck without biases.
//! Kept from the official DeSAM: the taps are the outputs of every global block but the last.

mod adapted;
mod attention;
mod block;
mod block_adapter;
mod config;
mod encoder;
mod init;
mod positions;
mod resample;

pub use crate::forward_hook::ForwardHook;
pub use block_adapter::{BlockAdapter, BlockInput};
pub use config::VitConfig;
pub use encoder::VitEncoder;
pub use positions::ResizedPositions;
