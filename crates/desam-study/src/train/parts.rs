//! The parts of a model that training reads and changes.

use candle_core::{Device, Var};
use desam::model::Trainable;
use desam_core::{EncoderSpec, MaskDecoder, PromptEncoder};
use std::collections::BTreeMap;

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
