//! An image encoder that passes pixels on, in front of networks that are trained from pixels to masks.

use candle_core::{Result, Tensor};
use desam_core::{EncoderSpec, ImageEncoder, ImageFeatures};

/// An image encoder that does nothing: its embedding is the image itself, `[B, 3, S, S]`, and it has no
/// taps.
///
/// Training, prediction and evaluation take an image encoder and a mask decoder. A network with trained
/// parameters in its encoder is a decoder of pixels to them: no features of it can be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PixelEncoder {
    spec: EncoderSpec,
}

impl PixelEncoder {
    /// In place of an encoder with the sides of `spec`, the one that slices and masks are prepared for.
    pub fn new(spec: EncoderSpec) -> Self {
        Self { spec }
    }
}

impl ImageEncoder for PixelEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn encode(&self, pixels: &Tensor) -> Result<ImageFeatures> {
        let side = self.spec.input_side;
        match pixels.dims() {
            [_, 3, height, width] if (*height, *width) == (side, side) => {
                Ok(ImageFeatures { taps: Vec::new(), embedding: pixels.clone() })
            }
            found => candle_core::bail!("pixels of {found:?}; expected [B, 3, {side}, {side}]"),
        }
    }
}
