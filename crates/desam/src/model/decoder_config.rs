//! Decoder configuration, read off a checkpoint's tensors.

use crate::{Error, Result};
use desam_core::EncoderSpec;
use desam_decoder::DecoderConfig;
use desam_nn::params::Tensors;

/// The configuration of a mask decoder's tensors, over an encoder whose taps they fit.
pub(super) fn decoder_config(tensors: &Tensors, spec: &EncoderSpec) -> Result<DecoderConfig> {
    let config = DecoderConfig::from_tensors(tensors, spec)?;
    if config.tap_channels == spec.tap_channels {
        return Ok(config);
    }
    Err(Error::Invalid(format!(
        "its decoder reads taps of {:?} channels; the encoder gives {:?}",
        config.tap_channels, spec.tap_channels
    )))
}
