//! Segmenters: a model with prompting, options and reading options.

mod builder;
mod encoded_slice;
#[cfg(feature = "image")]
mod gray_image;
mod gray_slice;
#[cfg(feature = "image")]
mod image;
mod run;
mod segmentation;

pub use builder::SegmenterBuilder;
pub use encoded_slice::EncodedSlice;
pub use gray_slice::GraySlice;
pub use segmentation::{ClassSegmentation, Segmentation, by_area};

use super::{ModelFacts, PredictOptions};
use crate::{Error, Mode, Model, PromptingConfig, Result};
use desam_core::Volume;
use desam_data::cache::hash_file;
use desam_data::preprocess::PreparedVolume;
use desam_volume::volumes::ReadOptions;
use std::path::{Path, PathBuf};

/// A model ready to segment volumes and slices: loaded once, used for many, from many threads at
/// once.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/toy/files.rs"));
/// use desam::{Quiet, Segmenter};
///
/// # fn main() -> desam::Result<()> {
/// # let _files = documented_files();
/// let segmenter = Segmenter::open("run/model.safetensors")?;
/// let summary = segmenter.segment_file("t2.nii.gz", "mask.nii.gz", &Quiet)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Segmenter {
    model: Model,
    prompting: PromptingConfig,
    options: PredictOptions,
    read: ReadOptions,
    /// The model's file, if it was opened from one.
    source: Option<PathBuf>,
    /// BLAKE3 of that file, if a report will need it.
    blake3: Option<String>,
}

impl std::fmt::Debug for Segmenter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Segmenter");
        out.field("model", &self.model).field("prompting", &self.prompting);
        out.field("options", &self.options).finish_non_exhaustive()
    }
}

impl Segmenter {
    /// A segmenter with the default settings: a model file, or a run's folder, on the CPU. It prompts
    /// as the model was trained; a model without a record of its training, by a 9×9 grid of points.
    /// [`builder`](Self::builder) changes that.
    ///
    /// # Errors
    /// When the model cannot be read; see [`Model::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).build()
    }

    /// A builder that opens a model file or a run's folder.
    pub fn builder(path: impl AsRef<Path>) -> SegmenterBuilder {
        SegmenterBuilder::from_path(path.as_ref())
    }

    /// A builder around a model that is loaded already, on its own device.
    pub fn builder_from(model: Model) -> SegmenterBuilder {
        SegmenterBuilder::from_model(model)
    }

    /// Changes the automatic prompts.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn with_prompting(mut self, prompting: PromptingConfig) -> Result<Self> {
        prompting.validate()?;
        self.prompting = prompting;
        Ok(self)
    }

    /// Changes the options.
    ///
    /// # Errors
    /// When the options contradict each other, ask for a map of predicted IoUs from a model without
    /// them ([`Error::IouNotTrained`]) or for intensities of training volumes that it does not know
    /// ([`Error::NoSourceHistogram`]), or need the hash of the model's file and it cannot be read.
    pub fn with_options(mut self, options: PredictOptions) -> Result<Self> {
        options.validate()?;
        let record = self.model.record();
        if options.iou_map && !record.iou_is_trained() {
            return Err(Error::IouNotTrained { variant: record.variant });
        }
        if options.match_source {
            record.source_histogram()?;
        }
        if options.json && self.blake3.is_none() {
            // Once, not for every volume: a model's file can have gigabytes.
            self.blake3 = self.source.as_deref().map(hash_file).transpose()?;
        }
        self.options = options;
        Ok(self)
    }

    /// Changes how files are read, such as which DICOM series of a folder.
    #[must_use]
    pub fn with_read_options(self, read: ReadOptions) -> Self {
        Self { read, ..self }
    }

    /// The automatic prompts.
    pub fn prompting(&self) -> &PromptingConfig {
        &self.prompting
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Postprocessing, and which files are written next to a mask.
    pub fn options(&self) -> &PredictOptions {
        &self.options
    }

    /// Options for reading volumes.
    pub fn read_options(&self) -> &ReadOptions {
        &self.read
    }

    /// Warnings about the model and its prompts that hold for every volume.
    pub fn warnings(&self) -> Vec<String> {
        let unmeasured = (self.options.agreement && self.prompting.mode == Mode::Box).then(|| {
            "no agreement is measured: it is that of grid points, and the prompt is the whole box"
                .to_owned()
        });
        self.model.prompting_warning(&self.prompting).into_iter().chain(unmeasured).collect()
    }

    /// Preprocesses a volume as the model's input, with the options that change what the model sees.
    pub(super) fn prepare_input(&self, volume: &Volume) -> Result<PreparedVolume> {
        let record = self.model.record();
        let prepared = record.preprocess.prepare(volume, self.model.spec())?;
        if self.options.match_source {
            return Ok(prepared.with_intensities_of(record.source_histogram()?)?);
        }
        Ok(prepared)
    }

    /// Identity of the model, for reports.
    pub(super) fn facts(&self) -> ModelFacts {
        let record = self.model.record();
        ModelFacts {
            file: self.source.clone(),
            blake3: self.blake3.clone(),
            encoder: record.encoder.clone(),
            encoder_blake3: record.encoder_blake3.clone(),
            training: record.training.clone(),
        }
    }
}
