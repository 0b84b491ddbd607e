//! The record in a model's file: encoder, preprocessing, training.

use super::{ConfidenceCalibration, SourceSites, SourceStatistics};
use crate::adapted::AdapterRecord;
use crate::{Error, Mode, PresenceRule, PromptingConfig, Result};
use desam_core::{ClassTable, EncoderSpec};
use desam_data::cache::FeatureCache;
use desam_data::preprocess::{IntensityHistogram, PreprocessConfig};
use desam_decoder::{SqueezePlacement, Variant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The key of the record among a safetensors file's metadata.
const KEY: &str = "desam";

/// The format this version writes and reads.
const VERSION: u32 = 1;

/// Metadata that a model's shapes do not tell: how its input is prepared, how it was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    /// Format version.
    pub version: u32,
    /// The image encoder's name, as it was given to `embed`.
    pub encoder: String,
    /// blake3 of the frozen weights.
    pub encoder_blake3: String,
    /// Sides and channels of the image encoder.
    pub spec: EncoderSpec,
    /// Preprocessing: how volumes become the encoder's input.
    pub preprocess: PreprocessConfig,
    /// Placement of the decoder's squeeze-and-excitation.
    #[serde(default)]
    pub squeeze: SqueezePlacement,
    /// The decoder's variant; older records lack it and mean DeSAM.
    #[serde(default)]
    pub variant: Variant,
    /// The classes that it tells apart, and the labels they are made of; one foreground in older records.
    #[serde(default, skip_serializing_if = "ClassTable::is_foreground")]
    pub classes: ClassTable,
    /// The adapter in its image encoder; `None` where the encoder is frozen as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterRecord>,
    /// Training of the decoder; `None` where it was not trained.
    #[serde(default)]
    pub training: Option<TrainingRecord>,
    /// Statistics of the training cases; `None` in records from before they were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_statistics: Option<SourceStatistics>,
}

/// The part of a safetensors file's header that describes no tensor.
#[derive(Deserialize)]
struct Header {
    #[serde(default, rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
}

/// The fields that records of all versions have.
#[derive(Deserialize)]
struct Format {
    version: u32,
}

/// Training of a model's decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// The site or sites that it was trained on.
    pub source: SourceSites,
    /// The prompting mode, which is also the default for prediction.
    pub mode: Mode,
    /// The epoch whose weights these are, from 1.
    pub epoch: usize,
    /// Mean Dice over the in-domain validation cases after that epoch.
    pub validation_dice: f64,
    /// Whether the loss had a term for the predicted IoU. A record from before this was noted does
    /// not say: then grid points mode had one, and whole box mode had none, as in both presets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iou_supervised: Option<bool>,
    /// Detection of empty slices, where the decoder was trained on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceCalibration>,
    /// Expected Dice of its masks, calibrated on the held-out cases; `None` where there were too few
    /// slices, and in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<ConfidenceCalibration>,
}

/// Detection of slices that hold nothing, calibrated on the held-out cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PresenceCalibration {
    /// Predicted IoU above which a slice gets a mask.
    pub threshold: f32,
    /// Mean Dice of the held-out cases over all their slices with this threshold, 0 to 1.
    pub dice: f64,
    /// The same where every slice gets its mask.
    pub dice_without: f64,
    /// How slices are recognised with this threshold; each alone in older records.
    #[serde(default, skip_serializing_if = "PresenceRule::is_slice")]
    pub rule: PresenceRule,
}

impl PresenceCalibration {
    /// A calibration, as its fields say.
    pub fn new(threshold: f32, dice: f64, dice_without: f64) -> Self {
        Self { threshold, dice, dice_without, rule: PresenceRule::Slice }
    }

    /// Decides volumes as a whole, with this mean Dice of the held-out cases.
    #[must_use]
    pub fn contiguous(self, dice: f64) -> Self {
        Self { dice, rule: PresenceRule::Contiguous, ..self }
    }

    /// Checks that the threshold is finite and the Dice are from 0 to 1.
    fn validate(&self) -> Result<(), String> {
        if !self.threshold.is_finite() {
            let found = self.threshold;
            return Err(format!("the presence threshold is {found}; expected a finite number"));
        }
        // NaN is in no range.
        match [self.dice, self.dice_without].into_iter().find(|dice| !(0.0..=1.0).contains(dice)) {
            Some(dice) => Err(format!("the presence threshold's Dice is {dice}; expected 0 to 1")),
            None => Ok(()),
        }
    }
}

impl TrainingRecord {
    /// Checks the calibrations, which a damaged or altered file may hold anything in.
    fn validate(&self) -> Result<(), String> {
        if let Some(presence) = self.presence {
            presence.validate()?;
        }
        self.confidence.as_ref().map_or(Ok(()), ConfidenceCalibration::validate)
    }

    fn supervised_iou(&self) -> bool {
        self.iou_supervised.unwrap_or(self.mode == Mode::Points)
    }
}

impl ModelRecord {
    /// Automatic prompts as in the model's training, with `grid` points along each side in grid points
    /// mode: its mode, points if it is not recorded, and the presence threshold that was chosen on its
    /// held-out cases.
    pub fn prompting(&self, grid: usize) -> PromptingConfig {
        let training = self.training.as_ref();
        let mode = training.map_or(Mode::Points, |t| t.mode);
        let prompting = PromptingConfig::new(mode, grid, self.spec.mask_side());
        match training.and_then(|t| t.presence) {
            Some(presence) => prompting
                .with_presence_threshold(presence.threshold)
                .with_presence_rule(presence.rule),
            None => prompting,
        }
    }

    /// Whether the decoder's predicted IoU is meaningful: its variant has one, and it was trained
    /// with a loss on it. A checkpoint whose training is not recorded is taken to be the official program's
    /// of grid points mode.
    pub fn iou_is_trained(&self) -> bool {
        self.variant.predicts_iou()
            && self.training.as_ref().is_none_or(TrainingRecord::supervised_iou)
    }

    /// Refuses a cache whose features were not computed with these weights.
    ///
    /// # Errors
    /// When encoder or preprocessing differ.
    pub fn check_cache(&self, cache: &FeatureCache) -> Result<()> {
        let recipe = &cache.header().recipe;
        let same = recipe.encoder.weights_blake3 == self.encoder_blake3
            && recipe.spec == self.spec
            && recipe.preprocess == self.preprocess;
        if same {
            return Ok(());
        }
        let reason = "its features were not made with the weights in its model.safetensors; \
                      embed the data again";
        Err(Error::file(cache.dir(), reason))
    }

    /// The calibration of its confidence, if there is one.
    pub fn confidence(&self) -> Option<&ConfidenceCalibration> {
        self.training.as_ref()?.confidence.as_ref()
    }

    /// The intensity histogram of the training volumes.
    ///
    /// # Errors
    /// [`Error::NoSourceHistogram`] where it is not recorded.
    pub fn source_histogram(&self) -> Result<&IntensityHistogram> {
        let statistics = self.source_statistics.as_ref();
        statistics.and_then(|s| s.histogram.as_ref()).ok_or(Error::NoSourceHistogram)
    }

    /// The record of a model that has not been trained.
    pub fn untrained(encoder: String, encoder_blake3: String, input: ModelInput) -> Self {
        Self {
            version: VERSION,
            encoder,
            encoder_blake3,
            spec: input.spec,
            preprocess: input.preprocess,
            squeeze: SqueezePlacement::Official,
            variant: Variant::Desam,
            classes: ClassTable::default(),
            adapter: None,
            training: None,
            source_statistics: None,
        }
    }

    /// The record among `metadata`, if there is one; official checkpoints have none.
    ///
    /// # Errors
    /// When this version cannot read it, or its encoder specification, its preprocessing or a calibration is
    /// out of range.
    pub fn read(metadata: &BTreeMap<String, String>, path: &Path) -> Result<Option<Self>> {
        let Some(text) = metadata.get(KEY) else {
            return Ok(None);
        };
        let unreadable = |e: &dyn std::fmt::Display| {
            Error::file(path, format!("its `{KEY}` metadata cannot be read: {e}"))
        };
        // The version first: records of later versions may hold fields that are unknown here.
        let Format { version } = serde_json::from_str(text).map_err(|e| unreadable(&e))?;
        if version != VERSION {
            let reason = format!("model format {version}; this program reads format {VERSION}");
            return Err(Error::file(path, reason));
        }
        let record: Self = serde_json::from_str(text).map_err(|e| unreadable(&e))?;
        record.spec.validate().map_err(|e| unreadable(&e))?;
        record.preprocess.validate().map_err(|e| unreadable(&e))?;
        if let Some(training) = &record.training {
            training.validate().map_err(|e| {
                unreadable(&format!("{e}; get the file again from where it was trained"))
            })?;
        }
        Ok(Some(record))
    }

    /// Reads the record of a model's file without its tensors; `None` without a file or a record in
    /// it.
    ///
    /// # Errors
    /// When the file cannot be read or is no safetensors file, and as [`read`](Self::read).
    pub fn of_file(path: &Path) -> Result<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let (text, _) = super::record_file::read_header(path)?;
        let header: Header =
            serde_json::from_slice(&text).map_err(|e| super::record_file::damaged(path, &e))?;
        Self::read(&header.metadata, path)
    }

    /// Reads the record of a model's file or a run's folder, as [`Model::open`](crate::Model::open) takes it.
    ///
    /// # Errors
    /// As [`of_file`](Self::of_file).
    pub fn of_model(path: &Path) -> Result<Option<Self>> {
        Self::of_file(&super::model_file(path)?)
    }

    /// Replaces the record in a model's file and leaves the tensors as they are. The new file is written
    /// next to the old one and then renamed, so an interruption leaves the old one.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is no safetensors file.
    pub fn replace_in_file(&self, path: &Path) -> Result<()> {
        super::record_file::replace_metadata(path, &self.to_metadata()?)
    }

    /// The metadata to write next to the tensors.
    ///
    /// # Errors
    /// When a number in it is not finite.
    pub fn to_metadata(&self) -> Result<BTreeMap<String, String>> {
        let text = serde_json::to_string(self)
            .map_err(|e| Error::Invalid(format!("the model's record cannot be written: {e}")))?;
        Ok([(KEY.to_owned(), text), ("format".to_owned(), "pt".to_owned())].into())
    }
}

/// Input of a model: encoder specification and preprocessing.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// Sides and channels of the image encoder.
    pub spec: EncoderSpec,
    /// Preprocessing: how volumes become its input.
    pub preprocess: PreprocessConfig,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn written() -> Value {
        let spec = desam_encoder::VitConfig::tiny().spec();
        let input = ModelInput { spec, preprocess: PreprocessConfig::paper() };
        let record = ModelRecord::untrained("tiny".into(), "0".into(), input);
        serde_json::from_str(&record.to_metadata().unwrap()[KEY]).unwrap()
    }

    fn read(record: &Value) -> Result<Option<ModelRecord>> {
        let metadata = [(KEY.to_owned(), record.to_string())].into();
        ModelRecord::read(&metadata, Path::new("run/model.safetensors"))
    }

    #[test]
    fn a_record_round_trips_and_may_be_missing() {
        let record = read(&written()).unwrap().unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), written());
        assert_eq!(ModelRecord::read(&BTreeMap::new(), Path::new("sam.pth")).unwrap(), None);
    }

    #[test]
    fn an_iou_is_trained_where_the_loss_had_a_term_for_it() {
        let record = |variant: &str, training: Value| {
            let mut record = written();
            (record["variant"], record["training"]) = (json!(variant), training);
            read(&record).unwrap().unwrap().iou_is_trained()
        };
        let trained = |mode: &str, supervised: Option<bool>| {
            let mut training =
                json!({"source": "A", "mode": mode, "epoch": 1, "validation_dice": 0.5});
            if let Some(supervised) = supervised {
                training["iou_supervised"] = json!(supervised);
            }
            training
        };
        for (mode, supervised, expected) in [
            // Records without the field: both presets train it in grid points mode alone.
            ("points", None, true),
            ("box", None, false),
            // A loss on the IoU of the mask trains it in whole box mode, too.
            ("box", Some(true), true),
            ("points", Some(false), false),
        ] {
            assert_eq!(
                record("desam", trained(mode, supervised)),
                expected,
                "{mode} {supervised:?}"
            );
            assert!(!record("no-iou-head", trained(mode, supervised)));
            assert!(!record("pimm-only", trained(mode, supervised)));
        }
        assert!(record("desam", Value::Null) && !record("pimm-only", Value::Null));
    }

    #[test]
    fn a_record_that_cannot_be_used_is_refused_with_its_file() {
        for (at, value, words) in [
            ("/version", json!(2), "model format 2; this program reads format 1"),
            ("/spec/patch", json!(0), "patches of 0 in an input of 256"),
            ("/spec/input_side", json!(1u64 << 40), "sides up to 16384"),
            ("/preprocess/percentiles", json!([99, 1]), "percentiles"),
            ("/variant", json!("unet"), "no-mask-fusion"),
        ] {
            let mut record = written();
            *record.pointer_mut(at).unwrap() = value;
            let error = read(&record).unwrap_err().to_string();
            assert!(error.starts_with("run/model.safetensors: "), "{error}");
            assert!(error.contains(words), "{error}");
        }
        // A later version may hold more than is known here.
        let mut later = written();
        (later["version"], later["teacher"]) = (json!(7), json!("SAM 2"));
        let error = read(&later).unwrap_err().to_string();
        assert!(error.contains("model format 7"), "{error}");
    }

    #[test]
    fn a_calibration_out_of_range_is_refused_with_its_file() {
        let read_with = |field: &str, value: Value| {
            let mut record = written();
            record["training"] =
                json!({"source": "A", "mode": "box", "epoch": 1, "validation_dice": 0.5});
            record["training"][field] = value;
            read(&record)
        };
        let presence = |threshold: f64, dice: f64| json!({"threshold": threshold, "dice": dice, "dice_without": 0.5});
        let knots = |knots: Value| json!({"knots": knots});
        read_with("presence", presence(-0.25, 1.0)).unwrap();
        read_with("confidence", knots(json!([[0.5, 0.25], [0.5, 0.25], [1.0, 1.0]]))).unwrap();
        let many: Vec<[f32; 2]> = (0..33).map(|n| [n as f32 / 33.0, 0.5]).collect();
        for (field, value, words) in [
            ("presence", presence(1e300, 0.5), "presence threshold is inf"),
            ("presence", presence(0.5, 1.5), "Dice is 1.5"),
            ("confidence", knots(json!([])), "0 knots; expected 1 to 32"),
            ("confidence", knots(json!(many)), "33 knots"),
            ("confidence", knots(json!([[0.5, 1.25]])), "numbers from 0 to 1"),
            ("confidence", knots(json!([[-0.5, 0.5]])), "numbers from 0 to 1"),
            ("confidence", knots(json!([[1e300, 0.5]])), "numbers from 0 to 1"),
            ("confidence", knots(json!([[0.5, 0.5], [0.25, 0.75]])), "do not fall"),
            ("confidence", knots(json!([[0.5, 0.5], [0.75, 0.25]])), "do not fall"),
        ] {
            let error = read_with(field, value).unwrap_err().to_string();
            assert!(error.starts_with("run/model.safetensors: "), "{error}");
            assert!(error.contains(words) && error.contains("get the file again"), "{error}");
        }
    }
}
