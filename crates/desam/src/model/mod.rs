//! Assembled models: image encoder, prompt encoder, mask decoder and the record of their file.

mod adapted;
mod cache_weights;
mod confidence;
mod decoder_config;
mod files;
mod frozen;
mod notes;
mod open;
mod parts;
mod record;
mod record_file;
mod run_classes;
mod source_sites;
mod source_statistics;
mod start;
mod trainable;
mod trainable_network;
mod value_range;

pub use cache_weights::{WeightsCoverage, cache_weights_path, open_cache_weights, verify_cache};
pub use confidence::ConfidenceCalibration;
pub use files::{RUN_CONFIG_FILE, RUN_MODEL_FILE, WEIGHTS_FILE};
pub use frozen::{EncoderChoice, FrozenEncoders};
pub use notes::CheckpointNotes;
pub use open::image_encoder;
pub use parts::ModelParts;
pub use record::{ModelInput, ModelRecord, PresenceCalibration, TrainingRecord};
pub use source_sites::SourceSites;
pub use source_statistics::{SourceStatistics, VolumeMeasurements};
pub use trainable::{DecoderChoice, Trainable, TrainableOptions};
pub use trainable_network::TrainableNetwork;
pub use value_range::ValueRange;

pub(crate) use files::model_file;
pub(crate) use open::encoder_error;

use crate::{Compute, Mode, PromptingConfig};
use candle_core::Device;
use desam_core::{EncoderSpec, ImageEncoder, MaskDecoder, Precision, PromptEncoder};
use desam_decoder::DecoderConfig;
use std::sync::Arc;

/// A DeSAM model for inference: image encoder, prompt encoder and mask decoder.
///
/// Cloning is cheap, and a model is used from many threads at once: nothing in it changes.
#[derive(Clone)]
pub struct Model {
    parts: ModelParts,
    decoder_config: Option<DecoderConfig>,
    notes: Arc<CheckpointNotes>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Model");
        out.field("record", &self.parts.record).field("compute", &self.parts.compute);
        out.finish_non_exhaustive()
    }
}

impl Model {
    /// The image encoder.
    pub fn encoder(&self) -> &Arc<dyn ImageEncoder> {
        &self.parts.encoder
    }

    /// The prompt encoder.
    pub fn prompt_encoder(&self) -> &dyn PromptEncoder {
        self.parts.prompt_encoder.as_ref()
    }

    /// The mask decoder.
    pub fn decoder(&self) -> &dyn MaskDecoder {
        self.parts.decoder.as_ref()
    }

    /// Configuration of the mask decoder; `None` for a decoder from
    /// [`from_parts`](Self::from_parts).
    pub fn decoder_config(&self) -> Option<&DecoderConfig> {
        self.decoder_config.as_ref()
    }

    /// Sides and channels of the image encoder.
    pub fn spec(&self) -> &EncoderSpec {
        &self.parts.record.spec
    }

    /// The record of the model's file: encoder, preprocessing, training.
    pub fn record(&self) -> &ModelRecord {
        &self.parts.record
    }

    /// Device and precision.
    pub fn compute(&self) -> &Compute {
        &self.parts.compute
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> &Device {
        self.parts.compute.device()
    }

    /// Precision of the large matrix multiplications.
    pub fn precision(&self) -> Precision {
        self.parts.compute.precision()
    }

    /// Warnings and details from reading the model's file.
    pub fn notes(&self) -> &CheckpointNotes {
        &self.notes
    }

    /// Warning about prompting this model so, if there is one: a grid of points is ranked by the
    /// predicted IoU, which this model may not have been trained to predict.
    pub fn prompting_warning(&self, prompting: &PromptingConfig) -> Option<String> {
        let record = self.record();
        let ranked = prompting.mode == Mode::Points && record.variant.predicts_iou();
        (ranked && !record.iou_is_trained()).then(|| {
            "grid points are ranked by the predicted IoU, which this model was not trained to \
             predict: prompt it as it was trained, by the whole box"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod tests;
