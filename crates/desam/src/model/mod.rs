//! The assembled model: frozen halves, decoder, and what the file says about itself.

mod cache_weights;
mod frozen;
mod record;
mod trainable;

pub use cache_weights::{WeightsCoverage, cache_weights_path, open_cache_weights, verify_cache};
pub use frozen::{EncoderChoice, Frozen};
pub use record::{ModelInput, ModelRecord, TrainingRecord};
pub use trainable::{DecoderChoice, Trainable};

use crate::predict::SlicePredictor;
use crate::{Automatic, Error, Mode, Result};
use candle_core::Device;
use desam_core::{EncoderSpec, ImageEncoder, Precision, Progress};
use desam_data::preprocess::PreprocessConfig;
use desam_decoder::{Decoder, DecoderConfig, Variant};
use desam_encoder::{Checkpoint, FrozenSam, SamOptions, SamPromptEncoder, VitEncoder};
use desam_nn::params::{LoadOptions, Tensors, load};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file in a cache's folder that holds the weights its features were made with: the frozen
/// encoders and, where the checkpoint had one, SAM's mask decoder, under official names.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// The file in a run's folder that holds its settings; a folder without one is no run.
pub const RUN_CONFIG_FILE: &str = "config.json";

/// The file in a run's folder that holds its best model.
pub const RUN_MODEL_FILE: &str = "model.safetensors";

/// A whole DeSAM for prediction.
#[derive(Debug, Clone)]
pub struct Model {
    encoder: Arc<VitEncoder>,
    prompt: SamPromptEncoder,
    decoder: Decoder,
    record: ModelRecord,
    device: Device,
    precision: Precision,
    notes: Notes,
}

/// What is worth saying of how a model's file was read, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notes {
    /// Choices that decide what is computed with; see [`Checkpoint::warnings`].
    pub warnings: Vec<String>,
    /// What was chosen and left out; see [`Checkpoint::notes`].
    pub details: Vec<String>,
}

impl Notes {
    fn of(checkpoint: &Checkpoint) -> Self {
        Self { warnings: checkpoint.warnings.clone(), details: checkpoint.notes.clone() }
    }

    /// Says all of it, with the file's name.
    pub fn say(&self, path: &Path, progress: &dyn Progress) {
        let name = path.display();
        self.warnings.iter().for_each(|w| progress.warn(&format!("{name}: {w}")));
        self.details.iter().for_each(|d| progress.detail(&format!("{name}: {d}")));
    }
}

impl Model {
    /// Loads a model file of ours, a checkpoint that the official program wrote, or a run's
    /// folder. It is the [`Variant`] that it was trained as. What a file does not say about its
    /// preprocessing is taken to be the official program's, and its variant to be DeSAM.
    ///
    /// # Errors
    /// When the file cannot be read, is no DeSAM model, or has missing, unexpected or misshapen
    /// parameters, which are all listed.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        Self::open_in(path, device, Precision::F32)
    }

    /// The same, its large products computed in another precision.
    ///
    /// # Errors
    /// As [`open`](Self::open), and for bf16 on a CPU.
    pub fn open_in(path: &Path, device: &Device, precision: Precision) -> Result<Self> {
        precision.check_on(device)?;
        let path = model_file(path)?;
        let checkpoint = Checkpoint::open(&path)?;
        checkpoint.expect_sam()?;
        let record = ModelRecord::read(&checkpoint.metadata, &path)?;
        let variant = record.as_ref().map_or(Variant::Desam, |r| r.variant);
        let pimm = checkpoint.tensors.keys().any(|k| k.starts_with("mask_decoder.pimm."));
        if variant.has_pimm() && !pimm {
            let reason = "no DeSAM model: it has no PIMM (mask_decoder.pimm.*); a plain SAM \
                          checkpoint must be trained first";
            return Err(Error::file(&path, reason));
        }
        let side = record.as_ref().map(|r| r.spec.input_side);
        let options = SamOptions { input_side: side, device: device.clone(), precision };
        let frozen = FrozenSam::load(&checkpoint, &options).map_err(|e| about(&path, e))?;
        let spec = frozen.sam.image.spec().clone();
        let record = match record {
            Some(record) => record,
            None => unrecorded(&checkpoint, &path, &spec)?,
        };
        if record.spec != spec {
            let reason = format!(
                "its record says {:?}, its image encoder is {spec:?}; get the file again from \
                 where it was trained",
                record.spec
            );
            return Err(Error::file(&path, reason));
        }
        let part = checkpoint.part("mask_decoder.");
        let config = decoder_config(&part, &spec).map_err(|e| Error::file(&path, e.to_string()))?;
        let config = DecoderConfig { squeeze: record.squeeze, variant, ..config };
        let params = LoadOptions { device: device.clone(), ..LoadOptions::frozen() };
        let decoder = load(part, &params, |vb| config.build(vb))?;
        let mut report = frozen.report;
        report.merge(decoder.report);
        report.unexpected.extend(strangers(&checkpoint));
        report.check().map_err(|e| Error::file(&path, e.to_string()))?;
        Ok(Self {
            encoder: Arc::new(frozen.sam.image),
            prompt: frozen.sam.prompt,
            decoder: decoder.module,
            record,
            device: device.clone(),
            precision,
            notes: Notes::of(&checkpoint),
        })
    }

    /// The image encoder.
    pub fn encoder(&self) -> Arc<dyn ImageEncoder> {
        self.encoder.clone()
    }

    /// The frozen prompt encoder.
    pub fn prompt(&self) -> &SamPromptEncoder {
        &self.prompt
    }

    /// The mask decoder.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// What the image encoder takes and gives.
    pub fn spec(&self) -> &EncoderSpec {
        &self.record.spec
    }

    /// What the file says about itself.
    pub fn record(&self) -> &ModelRecord {
        &self.record
    }

    /// Where it lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What was chosen and what was left out when its file was read.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// What its large products are computed in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Predicts from features, one slice at a time.
    pub fn predictor(&self) -> SlicePredictor<'_> {
        SlicePredictor::new(&self.prompt, &self.decoder, &self.record.spec)
            .with_precision(self.precision)
            .with_reported_iou(self.record.iou_is_trained())
    }

    /// What is doubtful about prompting this model so: a grid of points is ranked by the predicted
    /// IoU, which this model may never have been taught.
    pub fn prompting_warning(&self, automatic: &Automatic) -> Option<String> {
        let ranked = automatic.mode == Mode::Points && self.record.variant.predicts_iou();
        (ranked && !self.record.iou_is_trained()).then(|| {
            "grid points are ranked by the predicted IoU, which this model was not trained to \
             predict: prompt it as it was trained, by the whole box"
                .to_owned()
        })
    }
}

/// An error of the frozen half, with the file that it is about.
pub(crate) fn about(path: &Path, error: desam_encoder::Error) -> Error {
    use desam_encoder::Error as E;
    match error {
        error @ (E::Shapes { .. } | E::Config(_)) => Error::file(path, error.to_string()),
        error => error.into(),
    }
}

/// The image encoder of a cache's weights file.
///
/// # Errors
/// When the file cannot be read, or its parameters do not fit the encoder.
pub fn image_encoder(weights: &Path, device: &Device) -> Result<Arc<dyn ImageEncoder>> {
    let checkpoint = Checkpoint::open(weights)?;
    let record = ModelRecord::read(&checkpoint.metadata, weights)?;
    let input_side = record.map(|r| r.spec.input_side);
    let options = SamOptions { input_side, device: device.clone(), ..SamOptions::default() };
    let frozen = FrozenSam::load(&checkpoint, &options).map_err(|e| about(weights, e))?;
    frozen.report.check().map_err(|e| Error::file(weights, e.to_string()))?;
    Ok(Arc::new(frozen.sam.image))
}

/// `path` itself (a file, or a folder of a model), or the model of the run it is the folder of.
pub(crate) fn model_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() || desam_encoder::checkpoint::is_model_folder(path) {
        return Ok(path.to_owned());
    }
    if !path.join(RUN_CONFIG_FILE).is_file() {
        let reason = "not a run: it holds no config.json; give the --out of `desam train`";
        return Err(Error::file(path, reason));
    }
    let file = path.join(RUN_MODEL_FILE);
    if file.is_file() {
        return Ok(file);
    }
    Err(Error::file(path, "this run has no model yet: its first epoch is not done"))
}

/// What a mask decoder's parameters say it is, over an encoder that gives what it reads.
fn decoder_config(tensors: &Tensors, spec: &EncoderSpec) -> Result<DecoderConfig> {
    let config = DecoderConfig::from_tensors(tensors, spec)?;
    if config.tap_channels == spec.tap_channels {
        return Ok(config);
    }
    Err(Error::Invalid(format!(
        "its decoder reads taps of {:?} channels; the encoder gives {:?}",
        config.tap_channels, spec.tap_channels
    )))
}

/// The record of a checkpoint that another program wrote.
fn unrecorded(checkpoint: &Checkpoint, path: &Path, spec: &EncoderSpec) -> Result<ModelRecord> {
    let name = desam_core::text::name_text(path.file_name().unwrap_or_default()).into_owned();
    let hash = checkpoint.weights_hash(&["image_encoder."])?;
    let input = ModelInput { spec: spec.clone(), preprocess: PreprocessConfig::official() };
    Ok(ModelRecord::untrained(name, hash, input))
}

/// Keys that belong to no part of a DeSAM model.
fn strangers(checkpoint: &Checkpoint) -> Vec<String> {
    let parts = ["image_encoder.", "prompt_encoder.", "mask_decoder."];
    let known = |name: &str| parts.iter().any(|p| name.starts_with(p));
    checkpoint.tensors.keys().filter(|k| !known(k)).cloned().collect()
}

#[cfg(test)]
mod tests;
