//! Models assembled from encoders and decoders of any origin.

use super::{CheckpointNotes, Model, ModelRecord};
use crate::{Compute, Error, Result};
use desam_core::{EncoderSpec, ImageEncoder, MaskDecoder, PromptEncoder};
use std::sync::Arc;

/// The parts of a model, each behind its trait: a third party's encoder or decoder fits in.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use desam::decoder::DecoderConfig;
/// use desam::encoder::{FrozenSam, VitConfig};
/// use desam::model::{ModelInput, ModelParts, ModelRecord};
/// use desam::nn::params::{LoadOptions, Tensors, load};
/// use desam::{Compute, Model, data::preprocess::PreprocessConfig};
/// use std::sync::Arc;
///
/// // Random weights of toy size; any `ImageEncoder`, `PromptEncoder` and `MaskDecoder` will do.
/// let vit = VitConfig { input_side: 64, ..VitConfig::tiny() };
/// let (sam, config) = (FrozenSam::random(&vit, 1)?.sam, DecoderConfig::tiny(&vit.spec()));
/// let decoder = load(Tensors::new(), &LoadOptions::seeded(2), |vb| config.build(vb))?.module;
/// let input = ModelInput { spec: vit.spec(), preprocess: PreprocessConfig::official() };
/// let model = Model::from_parts(ModelParts {
///     encoder: Arc::new(sam.image),
///     prompt_encoder: Arc::new(sam.prompt),
///     decoder: Arc::new(decoder),
///     record: Arc::new(ModelRecord::untrained("toy".into(), "toy-1".into(), input)),
///     compute: Compute::cpu(),
/// })?;
/// assert_eq!(model.spec().input_side, 64);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ModelParts {
    /// The image encoder.
    pub encoder: Arc<dyn ImageEncoder>,
    /// The prompt encoder, for the same input side and embedding.
    pub prompt_encoder: Arc<dyn PromptEncoder>,
    /// The mask decoder.
    pub decoder: Arc<dyn MaskDecoder>,
    /// Preprocessing, encoder specification, and how the decoder was trained.
    pub record: Arc<ModelRecord>,
    /// Device and precision of the parts.
    pub compute: Compute,
}

impl std::fmt::Debug for ModelParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelParts").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Model {
    /// Assembles a model.
    ///
    /// # Errors
    /// [`Error::EncoderMismatch`] when the encoder's specification is not the record's, and when the
    /// record's specification or preprocessing is out of range.
    pub fn from_parts(parts: ModelParts) -> Result<Self> {
        let record = &parts.record;
        record.spec.validate()?;
        record.preprocess.validate()?;
        expect_spec(&record.spec, parts.encoder.spec())?;
        Ok(Self { parts, decoder_config: None, notes: Arc::new(CheckpointNotes::default()) })
    }

    /// The same model with another image encoder of the same specification.
    ///
    /// # Errors
    /// [`Error::EncoderMismatch`] when its taps, channels or sides are not those that the model was
    /// trained on.
    pub fn with_encoder(mut self, encoder: Arc<dyn ImageEncoder>) -> Result<Self> {
        expect_spec(self.spec(), encoder.spec())?;
        self.parts.encoder = encoder;
        Ok(self)
    }
}

fn expect_spec(expected: &EncoderSpec, found: &EncoderSpec) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let (expected, found) = (Box::new(expected.clone()), Box::new(found.clone()));
    Err(Error::EncoderMismatch { expected, found })
}
