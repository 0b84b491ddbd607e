//! What a model file says about itself.

use crate::{Error, Mode, Result};
use desam_core::EncoderSpec;
use desam_data::preprocess::PreprocessConfig;
use desam_decoder::{SqueezePlacement, Variant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The key of the record among a safetensors file's metadata.
const KEY: &str = "desam";

/// The format this version writes and reads.
const VERSION: u32 = 1;

/// What cannot be read off a model's shapes: how its input is prepared, what it was trained for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    /// Format version.
    pub version: u32,
    /// The image encoder's name, as it was given to `embed`.
    pub encoder: String,
    /// blake3 of the frozen weights.
    pub encoder_blake3: String,
    /// What the image encoder takes and gives.
    pub spec: EncoderSpec,
    /// How volumes become the encoder's input.
    pub preprocess: PreprocessConfig,
    /// Where the decoder's squeeze-excitation looks.
    #[serde(default)]
    pub squeeze: SqueezePlacement,
    /// Which decoder it has; a record from before there was a choice means DeSAM.
    #[serde(default)]
    pub variant: Variant,
    /// How the decoder was trained; `None` where it was not.
    #[serde(default)]
    pub training: Option<TrainingRecord>,
}

/// How a model's decoder was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// The site.
    pub source: String,
    /// The mode, which is also how it predicts unless told otherwise.
    pub mode: Mode,
    /// The epoch whose weights these are, from 1.
    pub epoch: usize,
    /// Mean Dice over the in-domain validation cases after that epoch.
    pub validation_dice: f64,
}

impl ModelRecord {
    /// A record of a model that has not been trained.
    pub fn untrained(encoder: String, encoder_blake3: String, input: ModelInput) -> Self {
        Self {
            version: VERSION,
            encoder,
            encoder_blake3,
            spec: input.spec,
            preprocess: input.preprocess,
            squeeze: SqueezePlacement::Official,
            variant: Variant::Desam,
            training: None,
        }
    }

    /// The record among `metadata`, if there is one; official checkpoints have none.
    ///
    /// # Errors
    /// When there is one that this version cannot read.
    pub fn read(metadata: &BTreeMap<String, String>, path: &Path) -> Result<Option<Self>> {
        let Some(text) = metadata.get(KEY) else {
            return Ok(None);
        };
        let record: Self = serde_json::from_str(text)
            .map_err(|e| Error::file(path, format!("its `{KEY}` metadata cannot be read: {e}")))?;
        if record.version != VERSION {
            let found = record.version;
            let reason = format!("model format {found}; this program reads format {VERSION}");
            return Err(Error::file(path, reason));
        }
        Ok(Some(record))
    }

    /// The metadata to write beside the tensors.
    ///
    /// # Errors
    /// When a number in it is none.
    pub fn to_metadata(&self) -> Result<BTreeMap<String, String>> {
        let text = serde_json::to_string(self)
            .map_err(|e| Error::Invalid(format!("the model's record cannot be written: {e}")))?;
        Ok([(KEY.to_owned(), text), ("format".to_owned(), "pt".to_owned())].into())
    }
}

/// What a model takes in.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// What the image encoder takes and gives.
    pub spec: EncoderSpec,
    /// How volumes become its input.
    pub preprocess: PreprocessConfig,
}
