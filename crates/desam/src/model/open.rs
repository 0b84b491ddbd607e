//! Loading a model from a file.

use super::adapted::AdaptedFile;
use super::decoder_config::decoder_config;
use super::run_classes::check_run_classes;
use super::{CheckpointNotes, Model, ModelInput, ModelParts, ModelRecord, model_file};
use crate::adapted::AdapterRecord;
use crate::{Compute, Error, Result};
use candle_core::Device;
use desam_core::{EncoderSpec, ImageEncoder};
use desam_data::preprocess::PreprocessConfig;
use desam_decoder::{DecoderConfig, Variant};
use desam_encoder::{Checkpoint, FrozenSam, SamOptions};
use desam_nn::params::{LoadOptions, load};
use std::path::Path;
use std::sync::Arc;

impl Model {
    /// Loads a model file, a checkpoint that the official program wrote, or the best model of a
    /// run's folder. Its decoder is the [`Variant`] that it was trained as. Without a record in the
    /// file, preprocessing is the official program's and the variant is DeSAM.
    ///
    /// # Errors
    /// When the file cannot be read or has missing, unexpected or misshapen parameters, which are all
    /// listed; [`Error::NotADesamModel`] when it is another kind of checkpoint; when its record and the
    /// settings of its run name other classes.
    pub fn open(path: impl AsRef<Path>, compute: &Compute) -> Result<Self> {
        Self::open_over(path, None, compute)
    }

    /// The same where a model with adapters has its base elsewhere than it was trained: `base` is the file
    /// of a SAM, or the folder of a cache. A model without adapters has no base, and `base` is not used.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::BaseMissing`] where the base is needed and not there; and when its
    /// image encoder is not the one that the model was trained on.
    pub fn open_over(
        path: impl AsRef<Path>,
        base: Option<&Path>,
        compute: &Compute,
    ) -> Result<Self> {
        let (given, path) = (path.as_ref(), model_file(path.as_ref())?);
        let model = match recorded_adapter(&path)? {
            Some((record, adapter)) => {
                AdaptedFile { path: &path, record, adapter }.open(base, compute)
            }
            None => Self::open_complete(&path, compute),
        }?;
        check_run_classes(given, &path, &model.record().classes)?;
        Ok(model)
    }

    /// Opens a file that holds a whole model.
    fn open_complete(path: &Path, compute: &Compute) -> Result<Self> {
        let (device, precision) = (compute.device(), compute.precision());
        let checkpoint = Checkpoint::open(path)?;
        checkpoint.expect_sam()?;
        let record = ModelRecord::read(&checkpoint.metadata, path)?;
        let variant = record.as_ref().map_or(Variant::Desam, |r| r.variant);
        let pimm = checkpoint.tensors.keys().any(|k| k.starts_with("mask_decoder.pimm."));
        if variant.has_pimm() && !pimm {
            let reason = "it has no PIMM (mask_decoder.pimm.*); a plain SAM checkpoint must be \
                          trained first";
            return Err(Error::NotADesamModel { path: path.to_owned(), reason: reason.into() });
        }
        let side = record.as_ref().map(|r| r.spec.input_side);
        let options = SamOptions { input_side: side, device: device.clone(), precision };
        let frozen = FrozenSam::load(&checkpoint, &options).map_err(|e| encoder_error(path, e))?;
        let spec = frozen.sam.image.spec().clone();
        let record = match record {
            Some(record) => record,
            None => unrecorded(&checkpoint, path, &spec)?,
        };
        if record.spec != spec {
            let reason = format!(
                "its record says {:?}, its image encoder is {spec:?}; get the file again from \
                 where it was trained",
                record.spec
            );
            return Err(Error::file(path, reason));
        }
        let part = checkpoint.part("mask_decoder.");
        let config = decoder_config(&part, &spec).map_err(|e| Error::file(path, e.to_string()))?;
        let classes = record.classes.len();
        if variant.has_pimm() && config.classes != classes {
            let reason = format!(
                "its decoder has masks of {} classes, its record names {classes} ({}); get the file again \
                 from where it was trained",
                config.classes, record.classes
            );
            return Err(Error::file(path, reason));
        }
        let config = DecoderConfig { squeeze: record.squeeze, variant, classes, ..config };
        let params = LoadOptions { device: device.clone(), ..LoadOptions::frozen() };
        let decoder = load(part, &params, |vb| config.build(vb))?;
        let mut report = frozen.report;
        report.merge(decoder.report);
        report.unexpected.extend(unexpected_keys(&checkpoint));
        report.check().map_err(|e| Error::file(path, e.to_string()))?;
        let parts = ModelParts {
            encoder: Arc::new(frozen.sam.image),
            prompt_encoder: Arc::new(frozen.sam.prompt),
            decoder: Arc::new(decoder.module),
            record: Arc::new(record),
            compute: compute.clone(),
        };
        let notes = Arc::new(CheckpointNotes::of(&checkpoint));
        Ok(Self { parts, decoder_config: Some(config), notes })
    }
}

/// The record of a model with adapters; `None` for any other file, whatever it is.
fn recorded_adapter(path: &Path) -> Result<Option<(ModelRecord, AdapterRecord)>> {
    if path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("safetensors")) {
        return Ok(None);
    }
    let record = ModelRecord::of_file(path)?;
    Ok(record.and_then(|record| record.adapter.clone().map(|adapter| (record, adapter))))
}

/// An error from loading an encoder, with its file's name where it lacks that.
pub(crate) fn encoder_error(path: &Path, error: desam_encoder::Error) -> Error {
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
    let frozen = FrozenSam::load(&checkpoint, &options).map_err(|e| encoder_error(weights, e))?;
    frozen.report.check().map_err(|e| Error::file(weights, e.to_string()))?;
    Ok(Arc::new(frozen.sam.image))
}

/// The record of a checkpoint that another program wrote.
fn unrecorded(checkpoint: &Checkpoint, path: &Path, spec: &EncoderSpec) -> Result<ModelRecord> {
    let name = desam_core::text::name_text(path.file_name().unwrap_or_default()).into_owned();
    let hash = checkpoint.weights_hash(&["image_encoder."])?;
    let input = ModelInput { spec: spec.clone(), preprocess: PreprocessConfig::official() };
    Ok(ModelRecord::untrained(name, hash, input))
}

/// Keys of a checkpoint that belong to no part of a DeSAM model.
fn unexpected_keys(checkpoint: &Checkpoint) -> Vec<String> {
    let parts = ["image_encoder.", "prompt_encoder.", "mask_decoder."];
    let known = |name: &str| parts.iter().any(|p| name.starts_with(p));
    checkpoint.tensors.keys().filter(|k| !known(k)).cloned().collect()
}
