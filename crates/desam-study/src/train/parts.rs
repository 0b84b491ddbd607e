//! The parts of a model that training reads and changes, and the models that a run trains.

use crate::Result;
use candle_core::{Device, Var};
use desam::ModelRecord;
use desam::model::{Trainable, TrainableNetwork};
use desam_core::{EncoderSpec, MaskDecoder, PromptEncoder};
use desam_decoder::DecoderConfig;
use desam_nn::params::Tensors;
use std::collections::BTreeMap;
use std::path::Path;

/// The parts of a model that a [`Trainer`](super::Trainer) works with: a frozen prompt encoder and a
/// mask decoder with its variables.
///
/// A [`Trainable`] converts into it. A program with a foreign prompt encoder or decoder fills
/// in the fields; the decoder must read its parameters from `vars`, since the optimizer changes those.
#[derive(Clone, Copy)]
pub struct TrainableParts<'a> {
    /// The frozen prompt encoder.
    pub prompt_encoder: &'a dyn PromptEncoder,
    /// The mask decoder, built over `vars`.
    pub decoder: &'a dyn MaskDecoder,
    /// The decoder's variables by parameter name. A variable without a gradient is left as it is.
    pub vars: &'a BTreeMap<String, Var>,
    /// Sizes of the image encoder whose features the decoder takes.
    pub spec: &'a EncoderSpec,
    /// The device of the variables.
    pub device: &'a Device,
}

impl std::fmt::Debug for TrainableParts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("TrainableParts");
        out.field("vars", &self.vars.len()).field("spec", self.spec).finish_non_exhaustive()
    }
}

/// A model that a run trains and saves: a decoder over frozen features, or a network with adapters.
pub(super) trait TrainedModel {
    /// What the training loop works with.
    fn parts(&self) -> TrainableParts<'_>;
    /// The record for the model's file.
    fn record(&self) -> &ModelRecord;
    /// Sizes of the decoder.
    fn decoder(&self) -> &DecoderConfig;
    /// What of a chosen start does not carry over.
    fn start_warning(&self) -> Option<&str> {
        None
    }
    /// Number of parameters that were drawn from the seed.
    fn initialised(&self) -> usize;
    /// Number of trainable scalars.
    fn trainable_numbers(&self) -> usize;
    /// Writes the model, with `parameters` in place of its variables.
    fn save(&self, path: &Path, record: &ModelRecord, parameters: Tensors) -> Result<()>;
}

impl TrainedModel for Trainable {
    fn parts(&self) -> TrainableParts<'_> {
        self.into()
    }

    fn record(&self) -> &ModelRecord {
        &self.record
    }

    fn decoder(&self) -> &DecoderConfig {
        self.decoder.module.config()
    }

    fn start_warning(&self) -> Option<&str> {
        self.start_warning.as_deref()
    }

    fn initialised(&self) -> usize {
        self.decoder.report.initialised.len()
    }

    fn trainable_numbers(&self) -> usize {
        self.trainable_numbers()
    }

    fn save(&self, path: &Path, record: &ModelRecord, parameters: Tensors) -> Result<()> {
        Ok(self.save_with(path, record, parameters)?)
    }
}

impl TrainedModel for TrainableNetwork {
    fn parts(&self) -> TrainableParts<'_> {
        self.into()
    }

    fn record(&self) -> &ModelRecord {
        &self.record
    }

    fn decoder(&self) -> &DecoderConfig {
        &self.decoder
    }

    fn initialised(&self) -> usize {
        self.initialised
    }

    fn trainable_numbers(&self) -> usize {
        self.trainable_numbers()
    }

    fn save(&self, path: &Path, record: &ModelRecord, parameters: Tensors) -> Result<()> {
        Ok(self.save_with(path, record, parameters)?)
    }
}

impl<'a> From<&'a TrainableNetwork> for TrainableParts<'a> {
    fn from(model: &'a TrainableNetwork) -> Self {
        Self {
            prompt_encoder: &model.prompt,
            decoder: &model.network,
            vars: &model.vars,
            spec: &model.record.spec,
            device: model.device(),
        }
    }
}

impl<'a> From<&'a Trainable> for TrainableParts<'a> {
    fn from(model: &'a Trainable) -> Self {
        Self {
            prompt_encoder: &model.prompt,
            decoder: &model.decoder.module,
            vars: &model.decoder.vars,
            spec: &model.record.spec,
            device: model.device(),
        }
    }
}
