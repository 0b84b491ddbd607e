//! The image encoder with an adapter.

use super::{BlockAdapter, ForwardHook};
use crate::VitEncoder;
use candle_core::{Result, Tensor};
use desam_core::{EncoderSpec, ImageEncoder, ImageFeatures};
use std::sync::Arc;

/// A frozen image encoder with an adapter in its blocks.
///
/// As an [`ImageEncoder`] it has the features of the plain encoder, so any decoder can follow it. With
/// trainable adapters the features carry gradients.
#[derive(Debug, Clone)]
pub struct AdaptedEncoder {
    vit: VitEncoder,
    adapter: Arc<dyn BlockAdapter>,
}

impl AdaptedEncoder {
    /// `vit` with `adapter` in its blocks.
    pub fn new(vit: VitEncoder, adapter: impl BlockAdapter + 'static) -> Self {
        Self { vit, adapter: Arc::new(adapter) }
    }

    /// The encoder without its adapter.
    pub fn vit(&self) -> &VitEncoder {
        &self.vit
    }

    /// The same encoder and adapter for another input side; see [`VitEncoder::with_input_side`].
    ///
    /// # Errors
    /// When the side is not a multiple of the patch.
    pub fn with_input_side(&self, input_side: usize) -> crate::Result<Self> {
        Ok(Self { vit: self.vit.with_input_side(input_side)?, adapter: self.adapter.clone() })
    }

    /// [`encode`](ImageEncoder::encode) with a `hook`, which receives: `patch_embed` (without
    /// positions); `low_level_feature`, the adapter's shared features; and of each block
    /// `block{i}.input_adapter`, `.qkv` (with their bias), `.attention` (without the residual), `.norm2`,
    /// the adapter's own results, and `.out`. All are `[B, G, G, ..]`.
    ///
    /// # Errors
    /// When the pixels' shape does not fit, a tensor operation fails, or the hook does.
    pub fn encode_hooked(&self, pixels: &Tensor, hook: ForwardHook<'_>) -> Result<ImageFeatures> {
        self.vit.encode_hooked(pixels, self.adapter.as_ref(), hook)
    }
}

impl ImageEncoder for AdaptedEncoder {
    fn spec(&self) -> &EncoderSpec {
        self.vit.spec()
    }

    fn encode(&self, pixels: &Tensor) -> Result<ImageFeatures> {
        self.vit.encode_adapted(pixels, self.adapter.as_ref())
    }
}
