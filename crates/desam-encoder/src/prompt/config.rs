//! Prompt encoder configuration.

use super::SamPromptEncoder;
use crate::shapes::dims;
use crate::{Error, Result};
use candle_nn::VarBuilder;
use desam_core::EncoderSpec;
use desam_nn::params::Tensors;

/// Sizes of SAM's prompt encoder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptEncoderConfig {
    /// Channels `E`; even.
    pub embedding_channels: usize,
    /// Side `G` of the image encoder's feature grid.
    pub grid: usize,
    /// Side `S` of the image encoder's input, in whose pixels prompts are given.
    pub input_side: usize,
    /// Channels inside the mask convolutions, a multiple of 4; 16 in SAM.
    pub mask_channels: usize,
}

impl PromptEncoderConfig {
    /// The configuration for an image encoder, with SAM's 16 mask channels.
    pub fn for_encoder(spec: &EncoderSpec) -> Self {
        Self {
            embedding_channels: spec.embedding_channels,
            grid: spec.grid(),
            input_side: spec.input_side,
            mask_channels: 16,
        }
    }

    /// Infers the configuration from a checkpoint's shapes, under official names. The grid leaves no
    /// trace in the shapes and comes from the image encoder.
    ///
    /// # Errors
    /// When a parameter that determines a size is missing, or the embedding is not the image encoder's.
    pub fn from_tensors(tensors: &Tensors, spec: &EncoderSpec) -> Result<Self> {
        let matrix = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix";
        let [_, half] = dims::<2>(tensors, matrix)?;
        let mask = "prompt_encoder.mask_downscaling.3.weight";
        let [mask_channels, ..] = dims::<4>(tensors, mask)?;
        // Half of the channels are sines, half cosines.
        if 2 * half != spec.embedding_channels {
            let problem = format!(
                "has {half} columns; expected half of the image embedding's {} channels",
                spec.embedding_channels
            );
            return Err(Error::shapes(matrix, problem));
        }
        let config = Self { mask_channels, ..Self::for_encoder(spec) };
        config.validate()?;
        Ok(config)
    }

    /// Checks that an encoder can be built.
    ///
    /// # Errors
    /// When a size is zero or not a multiple of what it must be.
    pub fn validate(&self) -> Result<()> {
        let even = self.embedding_channels > 0 && self.embedding_channels.is_multiple_of(2);
        let mask = self.mask_channels > 0 && self.mask_channels.is_multiple_of(4);
        if !even || !mask || self.grid == 0 || self.input_side == 0 {
            return Err(Error::Config(format!(
                "{self:?}: expected even embedding_channels, mask_channels a multiple of 4, \
                 and a grid and input_side above 0"
            )));
        }
        Ok(())
    }

    /// Side `M` of a mask prompt: four times the grid's.
    pub fn mask_side(&self) -> usize {
        4 * self.grid
    }

    /// Builds the encoder with parameters from `vb`, which is at `prompt_encoder`.
    ///
    /// # Errors
    /// When the configuration is not valid, or a parameter is missing or has another shape.
    pub fn build(&self, vb: VarBuilder<'_>) -> candle_core::Result<SamPromptEncoder> {
        SamPromptEncoder::new(self, vb)
    }
}
