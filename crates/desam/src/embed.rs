//! Embedding: the frozen image encoder runs once over a data set, into a feature cache.

use crate::model::{EncoderChoice, FrozenEncoders, RUN_CONFIG_FILE, WEIGHTS_FILE};
use crate::{Compute, Error, Result};
use desam_core::{ImageEncoder, Progress};
use desam_data::cache::{EncoderRecord, FeatureDtype, SlicePolicy, StyleViews};
use desam_data::embed::{CacheWriter, EmbedOptions, PartWriter};
pub use desam_data::embed::{EmbedSummary, Part, PartSummary};
use desam_data::layout::{Layout, data_root, unused_series};
use desam_data::preprocess::PreprocessConfig;
use desam_encoder::{SamOptions, checkpoint};
use desam_volume::volumes::ReadOptions;
use std::path::{Path, PathBuf};

/// Request of [`embed`]: data, encoder, and how features are computed and stored.
///
/// ```
/// use desam::data::cache::SlicePolicy;
/// use desam::embed::EmbedRequest;
/// use desam::model::EncoderChoice;
///
/// let request = EmbedRequest::new("data", "cache", EncoderChoice::Builtin)
///     .with_slices(SlicePolicy::All)
///     .with_input_side(128);
/// assert_eq!(request.input_side, Some(128));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmbedRequest {
    /// The data set: a folder in one of the layouts of [`desam_data::layout`], or a table of cases.
    pub data: PathBuf,
    /// The cache's folder.
    pub out: PathBuf,
    /// The image encoder.
    pub encoder: EncoderChoice,
    /// Side of the encoder's input, in pixels, if it is not the encoder's own.
    pub input_side: Option<usize>,
    /// Preprocessing: how volumes become slices.
    pub preprocess: PreprocessConfig,
    /// Type of the stored features.
    pub dtype: FeatureDtype,
    /// Selection of the slices to store.
    pub slices: SlicePolicy,
    /// Style views to store beside the slices, for training that generalises to other scanners.
    pub views: Option<StyleViews>,
    /// Device and precision of the encoder.
    pub compute: Compute,
    /// Batch size: slices of a case that are encoded at once. Unless set, 1 on a CPU and
    /// [`GPU_BATCH`] on a GPU.
    pub batch: Option<usize>,
    /// Options for reading volumes.
    pub read: ReadOptions,
}

/// Batch size on a GPU, in slices. One slice of 1024 pixels fills most of a GPU; eight fill the rest,
/// at 8 × 64 MiB of f32 for the features of a ViT-H.
pub const GPU_BATCH: usize = 8;

impl EmbedRequest {
    /// The paper's preprocessing, labelled slices, features in f16; in f32 on the CPU.
    pub fn new(data: impl Into<PathBuf>, out: impl Into<PathBuf>, encoder: EncoderChoice) -> Self {
        Self {
            data: data.into(),
            out: out.into(),
            encoder,
            input_side: None,
            preprocess: PreprocessConfig::paper(),
            dtype: FeatureDtype::F16,
            slices: SlicePolicy::Labelled,
            views: None,
            compute: Compute::cpu(),
            batch: None,
            read: ReadOptions::default(),
        }
    }

    /// Sets [`input_side`](Self::input_side).
    #[must_use]
    pub fn with_input_side(self, input_side: usize) -> Self {
        Self { input_side: Some(input_side), ..self }
    }

    /// Sets [`preprocess`](Self::preprocess).
    #[must_use]
    pub fn with_preprocess(self, preprocess: PreprocessConfig) -> Self {
        Self { preprocess, ..self }
    }

    /// Sets [`dtype`](Self::dtype).
    #[must_use]
    pub fn with_dtype(self, dtype: FeatureDtype) -> Self {
        Self { dtype, ..self }
    }

    /// Sets [`slices`](Self::slices).
    #[must_use]
    pub fn with_slices(self, slices: SlicePolicy) -> Self {
        Self { slices, ..self }
    }

    /// Sets [`views`](Self::views).
    #[must_use]
    pub fn with_views(self, views: Option<StyleViews>) -> Self {
        Self { views, ..self }
    }

    /// Sets [`compute`](Self::compute).
    #[must_use]
    pub fn with_compute(self, compute: Compute) -> Self {
        Self { compute, ..self }
    }

    /// Sets [`batch`](Self::batch).
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        Self { batch: Some(batch), ..self }
    }

    /// Sets [`read`](Self::read).
    #[must_use]
    pub fn with_read(self, read: ReadOptions) -> Self {
        Self { read, ..self }
    }
}

/// Runs the frozen image encoder once over a data set and stores its features. An interrupted run
/// continues. The weights are written next to the features, so that training needs only the cache.
///
/// ```
/// use desam::data::phantom::{PhantomConfig, SiteStyle, write_phantoms};
/// use desam::embed::{EmbedRequest, embed};
/// use desam::{Quiet, model::EncoderChoice};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let (data, cache) = (folder.path().join("data"), folder.path().join("cache"));
/// let sites = SiteStyle::six_sites().into_iter().take(1).collect();
/// write_phantoms(&data, &PhantomConfig { cases_per_site: 1, seed: 1, sites }, &Quiet)?;
/// let request = EmbedRequest::new(&data, &cache, EncoderChoice::Builtin).with_input_side(64);
/// assert_eq!(embed(&request, &Quiet)?.cases, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the data set, a volume or the checkpoint cannot be read, another process writes to the
/// folder, it holds a run ([`Error::HoldsRun`]) or a cache made with other settings; and
/// [`Error::Cancelled`], after which the finished slices are kept and the next run continues.
pub fn embed(request: &EmbedRequest, progress: &dyn Progress) -> Result<EmbedSummary> {
    let work = EmbedWork::new(request, progress)?;
    let writer = CacheWriter::new(&work.options, work.image(), request.compute.device(), progress)?;
    let summary = writer.embed()?;
    work.write_weights(&writer)?;
    Ok(summary)
}

/// Embeds one part (shard) of the cases; see [`desam_data::embed::embed_part`]. The part that ends
/// last writes the weights.
///
/// # Errors
/// As [`embed`], and when another part was made with other settings.
pub fn embed_part(
    request: &EmbedRequest,
    part: Part,
    progress: &dyn Progress,
) -> Result<PartSummary> {
    let work = EmbedWork::new(request, progress)?;
    let (encoder, device) = (work.image(), request.compute.device());
    let writer = PartWriter::new(&work.options, part, encoder, device, progress)?;
    let summary = writer.embed()?;
    if summary.waiting_for.is_empty() {
        work.write_weights(&writer)?;
    }
    Ok(summary)
}

/// Assembles the cache of `of` finished parts; see [`desam_data::embed::finish_parts`].
///
/// # Errors
/// When a part is not done, naming it, or was made with other settings.
pub fn finish_parts(request: &EmbedRequest, of: usize, progress: &dyn Progress) -> Result<()> {
    let work = EmbedWork::new(request, progress)?;
    let writer = CacheWriter::new(&work.options, work.image(), request.compute.device(), progress)?;
    writer.finish_parts(of)?;
    work.write_weights(&writer)
}

/// A request with its encoder loaded.
struct EmbedWork {
    options: EmbedOptions,
    frozen: FrozenEncoders,
}

impl EmbedWork {
    fn new(request: &EmbedRequest, progress: &dyn Progress) -> Result<Self> {
        request.preprocess.validate()?;
        let compute = &request.compute;
        if request.batch == Some(0) {
            return Err(Error::Invalid(
                "a batch of 0 slices encodes nothing: give 1 or more".into(),
            ));
        }
        // The cache's weights file has the name of a run's model.
        if request.out.join(RUN_CONFIG_FILE).is_file() {
            return Err(Error::HoldsRun { dir: request.out.clone() });
        }
        let layout = Layout::of_with(&request.data, &request.read)?;
        let cases = layout.cases_with(&request.data, &request.read)?;
        if let Some(warning) = unused_series(&request.data, layout, &cases)? {
            progress.warn(&warning);
        }
        let options = SamOptions {
            input_side: request.input_side,
            device: compute.device().clone(),
            precision: compute.precision(),
        };
        let frozen = FrozenEncoders::load(&request.encoder, &options)?;
        frozen.notes.say(Path::new(&frozen.name), progress);
        let encoder = EncoderRecord {
            file_blake3: Some(frozen.file_blake3.clone()),
            ..EncoderRecord::new(frozen.name.as_str(), frozen.blake3.as_str())
        };
        let options = EmbedOptions::new(&request.out, data_root(&request.data), cases, encoder)
            .with_preprocess(request.preprocess.clone())
            .with_dtype(request.dtype)
            .with_slices(request.slices)
            .with_views(request.views.clone())
            .with_precision(compute.precision())
            .with_batch(request.batch.unwrap_or(if compute.device().is_cpu() {
                1
            } else {
                GPU_BATCH
            }))
            .with_read(request.read.clone());
        Ok(Self { options, frozen })
    }

    fn image(&self) -> &dyn ImageEncoder {
        &self.frozen.sam.image
    }

    /// Writes the weights next to the features. `_lock` is held meanwhile, so that no other process
    /// writes to the folder.
    fn write_weights<L>(&self, _lock: &L) -> Result<()> {
        let metadata = self.frozen.record(&self.options.preprocess).to_metadata()?;
        let path = self.options.dir.join(WEIGHTS_FILE);
        Ok(checkpoint::write(path, &self.frozen.tensors, &metadata)?)
    }
}
