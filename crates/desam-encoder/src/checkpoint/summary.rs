//! Summary of a checkpoint's contents.

use super::{Checkpoint, KeyLayout, UnsupportedModel};
use crate::{PromptEncoderConfig, SamImageConfig};
use desam_nn::params::Tensors;
use std::collections::BTreeMap;

/// One part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct CheckpointPart {
    /// Number of tensors.
    pub tensors: usize,
    /// Number of parameters in them.
    pub parameters: usize,
}

/// Summary of a checkpoint's contents.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct CheckpointSummary {
    /// Key layout of the file.
    pub layout: KeyLayout,
    /// The model, where it is recognised as one that is not supported here.
    #[serde(rename = "foreign")]
    pub unsupported: Option<UnsupportedModel>,
    /// Notes on the tensors that were selected and skipped on loading.
    pub notes: Vec<String>,
    /// The choice among several copies of the model.
    pub warnings: Vec<String>,
    /// The image encoder.
    pub image_encoder: Option<CheckpointPart>,
    /// Its configuration, where it can be inferred.
    pub image_encoder_config: Option<SamImageConfig>,
    /// The prompt encoder.
    pub prompt_encoder: Option<CheckpointPart>,
    /// Its configuration, where it can be inferred.
    pub prompt_encoder_config: Option<PromptEncoderConfig>,
    /// SAM's mask decoder, which PRIM starts from; without `mask_decoder.pimm.*`.
    pub mask_decoder: Option<CheckpointPart>,
    /// DeSAM's `mask_decoder.pimm.*`.
    pub pimm: Option<CheckpointPart>,
    /// Names of all other tensors.
    pub unknown: Vec<String>,
    /// Reasons why a part's configuration could not be inferred.
    pub problems: Vec<String>,
    /// The file's own metadata.
    pub metadata: BTreeMap<String, String>,
}

impl CheckpointSummary {
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        let tensors = &checkpoint.tensors;
        let pimm = "mask_decoder.pimm.";
        let of = |prefix: &str| part(tensors, |n| n.starts_with(prefix));
        let known = ["image_encoder.", "prompt_encoder.", "mask_decoder."];
        // Known by prefix only: a part with a missing parameter is still that part.
        let unknown = tensors.keys().filter(|n| !known.iter().any(|k| n.starts_with(k)));
        let image_encoder = of("image_encoder.");
        let prompt_encoder = of("prompt_encoder.");
        let mut problems = Vec::new();
        let mut note = |e: crate::Error| problems.push(e.to_string());
        let image_config = match image_encoder {
            // Another model's shapes determine no SAM configuration.
            _ if checkpoint.unsupported.is_some() => None,
            Some(_) => SamImageConfig::from_tensors(tensors).map_err(&mut note).ok(),
            None => None,
        };
        let prompt_config = match (&prompt_encoder, &image_config) {
            (Some(_), Some(image)) => {
                let config = PromptEncoderConfig::from_tensors(tensors, &image.spec());
                config.map_err(&mut note).ok()
            }
            _ => None,
        };
        Self {
            layout: checkpoint.layout,
            unsupported: checkpoint.unsupported.clone(),
            notes: checkpoint.notes.clone(),
            warnings: checkpoint.warnings.clone(),
            image_encoder,
            image_encoder_config: image_config,
            prompt_encoder,
            prompt_encoder_config: prompt_config,
            mask_decoder: part(tensors, |n| n.starts_with("mask_decoder.") && !n.starts_with(pimm)),
            pimm: of(pimm),
            unknown: unknown.cloned().collect(),
            problems,
            metadata: checkpoint.metadata.clone(),
        }
    }

    /// Describes in a few words whether this is a DeSAM model, a SAM, or a part of one.
    pub fn describe(&self) -> &'static str {
        if let Some(model) = &self.unsupported {
            return model.name;
        }
        let has = (
            self.image_encoder.is_some() && self.prompt_encoder.is_some(),
            self.mask_decoder.is_some(),
            self.pimm.is_some(),
        );
        match has {
            (true, true, true) => "DeSAM: image encoder, prompt encoder, PRIM and PIMM",
            (true, true, false) => "SAM: image encoder, prompt encoder and mask decoder",
            (true, false, false) => "SAM's two encoders, without a decoder",
            (false, true, true) => "DeSAM's decoder (PRIM and PIMM), without the encoders",
            (false, true, false) => "SAM's mask decoder, without the encoders",
            _ => "no complete part of SAM or DeSAM",
        }
    }

    /// Parameters in all known parts.
    pub fn parameters(&self) -> usize {
        let parts = [&self.image_encoder, &self.prompt_encoder, &self.mask_decoder, &self.pimm];
        parts.into_iter().flatten().map(|p| p.parameters).sum()
    }
}

fn part(tensors: &Tensors, belongs: impl Fn(&str) -> bool) -> Option<CheckpointPart> {
    let found = tensors.iter().filter(|(name, _)| belongs(name)).map(|(_, t)| t.elem_count());
    let (tensors, parameters) = found.fold((0, 0), |(n, sum), count| (n + 1, sum + count));
    (tensors > 0).then_some(CheckpointPart { tensors, parameters })
}
