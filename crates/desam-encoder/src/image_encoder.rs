//! The image encoders that a SAM may have: SAM's ViT, or MobileSAM's TinyViT.

use crate::{Result, TinyVitConfig, TinyVitEncoder, VitConfig, VitEncoder};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use desam_core::{EncoderSpec, ImageEncoder, ImageFeatures, Precision};
use desam_nn::params::Tensors;

/// Configuration of a SAM's image encoder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum SamImageConfig {
    /// SAM's vision transformer.
    Vit(VitConfig),
    /// MobileSAM's TinyViT.
    TinyVit(TinyVitConfig),
}

impl SamImageConfig {
    /// Infers kind and configuration of a checkpoint's image encoder from its shapes, under official
    /// names.
    ///
    /// # Errors
    /// When a parameter that determines a size is missing or contradicts the others.
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        if TinyVitConfig::is_in(tensors) {
            return TinyVitConfig::from_tensors(tensors).map(Self::TinyVit);
        }
        VitConfig::from_tensors(tensors).map(Self::Vit)
    }

    /// Input and output sizes.
    pub fn spec(&self) -> EncoderSpec {
        match self {
            Self::Vit(config) => config.spec(),
            Self::TinyVit(config) => config.spec(),
        }
    }

    /// Builds the encoder with parameters from `vb`, which is at `image_encoder`. A TinyViT computes in f32
    /// in any precision.
    ///
    /// # Errors
    /// When the configuration is not valid, or a parameter is missing or has another shape.
    pub fn build_in(
        &self,
        vb: VarBuilder<'_>,
        precision: Precision,
    ) -> candle_core::Result<SamImageEncoder> {
        match self {
            Self::Vit(config) => config.build_in(vb, precision).map(SamImageEncoder::Vit),
            Self::TinyVit(config) => config.build(vb).map(SamImageEncoder::TinyVit),
        }
    }
}

impl From<VitConfig> for SamImageConfig {
    fn from(config: VitConfig) -> Self {
        Self::Vit(config)
    }
}

impl From<TinyVitConfig> for SamImageConfig {
    fn from(config: TinyVitConfig) -> Self {
        Self::TinyVit(config)
    }
}

/// A SAM's image encoder, frozen.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SamImageEncoder {
    /// SAM's vision transformer.
    Vit(VitEncoder),
    /// MobileSAM's TinyViT.
    TinyVit(TinyVitEncoder),
}

impl SamImageEncoder {
    /// The vision transformer, which adapters are for; `None` for a TinyViT.
    pub fn vit(&self) -> Option<&VitEncoder> {
        match self {
            Self::Vit(encoder) => Some(encoder),
            Self::TinyVit(_) => None,
        }
    }

    /// Consumes `self` and returns the vision transformer; `None` for a TinyViT.
    pub fn into_vit(self) -> Option<VitEncoder> {
        match self {
            Self::Vit(encoder) => Some(encoder),
            Self::TinyVit(_) => None,
        }
    }

    /// The same encoder for another input side, sharing the parameters.
    ///
    /// # Errors
    /// When the side is not a multiple of the patch.
    pub fn with_input_side(&self, input_side: usize) -> Result<Self> {
        match self {
            Self::Vit(encoder) => encoder.with_input_side(input_side).map(Self::Vit),
            Self::TinyVit(encoder) => encoder.with_input_side(input_side).map(Self::TinyVit),
        }
    }
}

impl ImageEncoder for SamImageEncoder {
    fn spec(&self) -> &EncoderSpec {
        match self {
            Self::Vit(encoder) => encoder.spec(),
            Self::TinyVit(encoder) => encoder.spec(),
        }
    }

    fn encode(&self, pixels: &Tensor) -> candle_core::Result<ImageFeatures> {
        match self {
            Self::Vit(encoder) => encoder.encode(pixels),
            Self::TinyVit(encoder) => encoder.encode(pixels),
        }
    }
}
