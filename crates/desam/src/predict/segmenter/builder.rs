//! Builder of segmenters.

use super::Segmenter;
use crate::model::model_file;
use crate::predict::PredictOptions;
use crate::{Compute, Error, Model, PromptingConfig, Result};
use desam_core::ImageEncoder;
use desam_volume::volumes::ReadOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Builder of a [`Segmenter`]; see [`Segmenter::builder`].
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/toy/files.rs"));
/// use desam::predict::PredictOptions;
/// use desam::{Compute, DeviceChoice, Precision, Segmenter};
///
/// # fn main() -> desam::Result<()> {
/// # let _files = documented_files();
/// // On a GPU: `DeviceChoice::Cuda(0)`, and `Precision::Bf16`, which a CPU does not compute in.
/// let compute = Compute::open(DeviceChoice::Cpu)?.with_precision(Precision::F32)?;
/// let segmenter = Segmenter::builder("run")
///     .compute(compute)
///     .options(PredictOptions::default().with_probability(true))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct SegmenterBuilder {
    source: Source,
    base: Option<PathBuf>,
    compute: Option<Compute>,
    encoder: Option<Arc<dyn ImageEncoder>>,
    prompting: Option<PromptingConfig>,
    options: PredictOptions,
    read: ReadOptions,
}

/// Origin of the model.
#[derive(Debug)]
enum Source {
    Path(PathBuf),
    Model(Box<Model>),
}

impl std::fmt::Debug for SegmenterBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmenterBuilder").field("source", &self.source).finish_non_exhaustive()
    }
}

impl SegmenterBuilder {
    pub(super) fn from_path(path: &Path) -> Self {
        Self::new(Source::Path(path.to_owned()))
    }

    pub(super) fn from_model(model: Model) -> Self {
        Self::new(Source::Model(Box::new(model)))
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            base: None,
            compute: None,
            encoder: None,
            prompting: None,
            options: PredictOptions::default(),
            read: ReadOptions::default(),
        }
    }

    /// Device and precision; f32 on the CPU unless set. For a model that is opened from a file.
    pub fn compute(self, compute: Compute) -> Self {
        Self { compute: Some(compute), ..self }
    }

    /// The SAM below the adapters of a model that is opened from a file, where it is not where it was in
    /// training: its file, or the folder of a cache. Not used by a model without adapters.
    pub fn base(self, base: Option<&Path>) -> Self {
        Self { base: base.map(Path::to_owned), ..self }
    }

    /// Another image encoder than the model's, with the same specification: one behind a cache, or
    /// faster hardware.
    pub fn encoder(self, encoder: Arc<dyn ImageEncoder>) -> Self {
        Self { encoder: Some(encoder), ..self }
    }

    /// Automatic prompts; unless set, those of the model's training.
    pub fn prompting(self, prompting: PromptingConfig) -> Self {
        Self { prompting: Some(prompting), ..self }
    }

    /// Postprocessing, maps and reports.
    pub fn options(self, options: PredictOptions) -> Self {
        Self { options, ..self }
    }

    /// Sets the options for reading volumes.
    pub fn read_options(self, read: ReadOptions) -> Self {
        Self { read, ..self }
    }

    /// Opens the model and checks all settings.
    ///
    /// # Errors
    /// As [`Model::open`], [`Segmenter::with_prompting`] and [`Segmenter::with_options`];
    /// [`Error::EncoderMismatch`] when the encoder's specification is not the model's;
    /// [`Error::ModelIsLoaded`] when [`compute`](Self::compute) is set for a loaded model.
    pub fn build(self) -> Result<Segmenter> {
        let (mut model, source) = match (self.source, self.compute) {
            (Source::Path(path), compute) => {
                let compute = compute.unwrap_or_default();
                let model = Model::open_over(&path, self.base.as_deref(), &compute)?;
                (model, Some(model_file(&path)?))
            }
            (Source::Model(model), None) => (*model, None),
            (Source::Model(_), Some(_)) => return Err(Error::ModelIsLoaded),
        };
        if let Some(encoder) = self.encoder {
            model = model.with_encoder(encoder)?;
        }
        let trained = model.record().prompting(crate::PAPER_GRID);
        let segmenter = Segmenter {
            model,
            prompting: trained,
            options: PredictOptions::default(),
            read: self.read,
            source,
            blake3: None,
        };
        let segmenter = match self.prompting {
            Some(prompting) => segmenter.with_prompting(prompting)?,
            None => segmenter,
        };
        segmenter.with_options(self.options)
    }
}
