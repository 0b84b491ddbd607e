//! Frozen encoders for a feature cache: built in, random, or from a checkpoint.

use super::{CheckpointNotes, ModelInput, ModelRecord};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use desam_core::{EncoderSpec, ImageEncoder};
use desam_data::preprocess::PreprocessConfig;
use desam_encoder::checkpoint::weights_hash;
use desam_encoder::{Checkpoint, FrozenSam, SamOptions, VitConfig, builtin};
use desam_nn::params::Tensors;
use std::path::{Path, PathBuf};

/// Origin of an image encoder's weights.
#[derive(Debug, Clone, PartialEq)]
pub enum EncoderChoice {
    /// The `tiny` SAM that comes with `desam-encoder`, mask decoder and all: trained on generated
    /// scenes, for demonstrations and tests.
    Builtin,
    /// Random weights of a given size. Random features are enough for a demonstration and for
    /// tests; they are no SAM.
    Random {
        /// Its size.
        config: VitConfig,
        /// Seed of its weights.
        seed: u64,
    },
    /// A checkpoint: SAM's own, or one that holds SAM's encoders.
    File {
        /// The file.
        path: PathBuf,
        /// Name of the encoder in records; its file's name if not given.
        name: Option<String>,
    },
}

impl EncoderChoice {
    /// A checkpoint, named after its file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File { path: path.into(), name: None }
    }
}

/// SAM's frozen encoders with the tensors of their file.
#[derive(Debug)]
pub struct FrozenEncoders {
    /// Name of the encoder, for people.
    pub name: String,
    /// Both encoders.
    pub sam: FrozenSam,
    /// Their parameters and, where the file had one, its mask decoder's, under official names: f32, in
    /// the CPU's memory.
    pub tensors: Tensors,
    /// blake3 of the image encoder's parameters.
    pub blake3: String,
    /// Warnings and details from reading the file.
    pub notes: CheckpointNotes,
    /// blake3 of all of `tensors`.
    pub file_blake3: String,
}

impl FrozenEncoders {
    /// Loads the encoders, or draws them from a seed; `options` may set another input side than the
    /// checkpoint's.
    ///
    /// # Errors
    /// When the file cannot be read or does not hold SAM's encoders; its missing, unexpected and
    /// misshapen parameters are all listed.
    pub fn load(choice: &EncoderChoice, options: &SamOptions) -> Result<Self> {
        match choice {
            EncoderChoice::Builtin => {
                let frozen = Self::checkpoint(&builtin::tiny()?, options)?;
                Ok(Self { name: "tiny".into(), ..frozen })
            }
            EncoderChoice::Random { config, seed } => Self::random(config, *seed, options),
            EncoderChoice::File { path, name } => {
                let frozen = Self::file(path, options)?;
                Ok(Self { name: name.clone().unwrap_or(frozen.name), ..frozen })
            }
        }
    }

    fn random(config: &VitConfig, seed: u64, options: &SamOptions) -> Result<Self> {
        if let Some(side) = options.input_side.filter(|s| *s != config.input_side) {
            let own = config.input_side;
            let reason = format!("a random encoder is made for {own} pixels, not for {side}");
            return Err(Error::Invalid(reason));
        }
        let loaded = FrozenSam::random_with(config, seed, options)?;
        loaded.report.check()?;
        let on_host = |(name, t): (String, Tensor)| Ok((name, t.to_device(&Device::Cpu)?));
        let tensors = loaded.tensors.into_iter().map(on_host).collect::<Result<_>>()?;
        Self::from_parts(format!("random, seed {seed}"), loaded.sam, tensors)
    }

    fn file(path: &Path, options: &SamOptions) -> Result<Self> {
        Self::checkpoint(&Checkpoint::open(path)?, options)
    }

    fn checkpoint(checkpoint: &Checkpoint, options: &SamOptions) -> Result<Self> {
        let path = checkpoint.path.as_path();
        let loaded =
            FrozenSam::load(checkpoint, options).map_err(|e| super::encoder_error(path, e))?;
        loaded.report.check().map_err(|e| Error::file(path, e.to_string()))?;
        // The file's own tensors: those of the encoders may be on a GPU, in another type.
        let mut tensors = checkpoint.part("image_encoder.");
        tensors.extend(checkpoint.part("prompt_encoder."));
        tensors.extend(checkpoint.part("mask_decoder."));
        let name = desam_core::text::name_text(path.file_name().unwrap_or_default()).into_owned();
        let notes = CheckpointNotes::of(checkpoint);
        Ok(Self { notes, ..Self::from_parts(name, loaded.sam, tensors)? })
    }

    fn from_parts(name: String, sam: FrozenSam, tensors: Tensors) -> Result<Self> {
        let blake3 = weights_hash(&tensors, &["image_encoder."])?;
        let file_blake3 = weights_hash(&tensors, &[])?;
        Ok(Self { name, sam, tensors, blake3, notes: CheckpointNotes::default(), file_blake3 })
    }

    /// Sides and channels of the image encoder.
    pub fn spec(&self) -> &EncoderSpec {
        self.sam.image.spec()
    }

    /// The record to write next to the tensors.
    pub fn record(&self, preprocess: &PreprocessConfig) -> ModelRecord {
        let input = ModelInput { spec: self.spec().clone(), preprocess: preprocess.clone() };
        ModelRecord::untrained(self.name.clone(), self.blake3.clone(), input)
    }
}
