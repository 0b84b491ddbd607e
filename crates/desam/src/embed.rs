//! From volumes on disk to a cache of frozen features.

use crate::model::{EncoderChoice, Frozen, RUN_CONFIG_FILE, WEIGHTS_FILE};
use crate::{Error, Result};
use candle_core::Device;
use desam_core::{ImageEncoder, Precision, Progress};
use desam_data::cache::{EncoderRecord, FeatureDtype, SlicePolicy};
use desam_data::embed::{CacheWriter, EmbedOptions, PartWriter};
pub use desam_data::embed::{EmbedSummary, Part, PartSummary};
use desam_data::layout::{Layout, data_root, unused_series};
use desam_data::preprocess::PreprocessConfig;
use desam_data::volumes::ReadOptions;
use desam_encoder::{SamOptions, checkpoint};
use std::path::Path;

/// What [`embed`] is asked for.
#[derive(Debug, Clone)]
pub struct EmbedRequest<'a> {
    /// The data set: a folder in one of the layouts of [`desam_data::layout`], or a table.
    pub data: &'a Path,
    /// The cache's folder.
    pub out: &'a Path,
    /// The image encoder.
    pub encoder: EncoderChoice,
    /// Another input side than the encoder's own, in pixels.
    pub input_side: Option<usize>,
    /// How volumes become slices.
    pub preprocess: PreprocessConfig,
    /// Type of the stored features.
    pub dtype: FeatureDtype,
    /// Which slices to store.
    pub slices: SlicePolicy,
    /// Where to compute.
    pub device: Device,
    /// What in; bf16 on a GPU alone.
    pub precision: Precision,
    /// Slices of a case to encode at once; not given, one on a CPU and [`GPU_BATCH`] on a GPU.
    pub batch: Option<usize>,
    /// How volumes are read.
    pub read: ReadOptions,
}

/// Slices that are encoded at once on a GPU. One of 1024 pixels fills most of it; eight fill what is
/// left, at 8 × 64 MiB of f32 for the features of a ViT-H.
pub const GPU_BATCH: usize = 8;

impl<'a> EmbedRequest<'a> {
    /// The paper's preprocessing, which keeps the labels' volume, features in f16, labelled slices, on
    /// the CPU in f32.
    pub fn new(data: &'a Path, out: &'a Path, encoder: EncoderChoice) -> Self {
        Self {
            data,
            out,
            encoder,
            input_side: None,
            preprocess: PreprocessConfig::paper(),
            dtype: FeatureDtype::F16,
            slices: SlicePolicy::Labelled,
            device: Device::Cpu,
            precision: Precision::F32,
            batch: None,
            read: ReadOptions::default(),
        }
    }
}

/// Runs the frozen image encoder once over a data set. A run that was interrupted continues; the
/// weights are written beside the features, so that training needs the cache alone.
///
/// # Errors
/// When the data set, a volume or the checkpoint cannot be read, another process writes to the
/// folder, or it holds a run, or a cache made in another way.
pub fn embed(request: &EmbedRequest<'_>, progress: &dyn Progress) -> Result<EmbedSummary> {
    let work = Work::of(request, progress)?;
    let writer = CacheWriter::new(&work.options, work.image(), &request.device, progress)?;
    let summary = writer.embed()?;
    work.write_weights(&writer)?;
    Ok(summary)
}

/// Runs the encoder over one part's cases; see [`desam_data::embed::embed_part`]. The part that is
/// done last writes the weights.
///
/// # Errors
/// As [`embed`], and when another part was made in another way.
pub fn embed_part(
    request: &EmbedRequest<'_>,
    part: Part,
    progress: &dyn Progress,
) -> Result<PartSummary> {
    let work = Work::of(request, progress)?;
    let (encoder, device) = (work.image(), &request.device);
    let writer = PartWriter::new(&work.options, part, encoder, device, progress)?;
    let summary = writer.embed()?;
    if summary.waiting_for.is_empty() {
        work.write_weights(&writer)?;
    }
    Ok(summary)
}

/// Makes one cache of `of` parts that are all done; see [`desam_data::embed::finish_parts`].
///
/// # Errors
/// When a part is not done, naming it, or was made in another way.
pub fn finish_parts(request: &EmbedRequest<'_>, of: usize, progress: &dyn Progress) -> Result<()> {
    let work = Work::of(request, progress)?;
    let writer = CacheWriter::new(&work.options, work.image(), &request.device, progress)?;
    writer.finish_parts(of)?;
    work.write_weights(&writer)
}

/// What a request comes to.
struct Work {
    options: EmbedOptions,
    frozen: Frozen,
}

impl Work {
    fn of(request: &EmbedRequest<'_>, progress: &dyn Progress) -> Result<Self> {
        request.preprocess.validate()?;
        request.precision.check_on(&request.device)?;
        if request.batch == Some(0) {
            return Err(Error::Invalid("a batch of 0 slices encodes none: give 1 or more".into()));
        }
        // The weights beside features have the name of a run's model.
        if request.out.join(RUN_CONFIG_FILE).is_file() {
            let reason = "holds a run, whose model would be replaced; choose another --out";
            return Err(Error::file(request.out, reason));
        }
        let layout = Layout::of_with(request.data, &request.read)?;
        let cases = layout.cases_with(request.data, &request.read)?;
        if let Some(warning) = unused_series(request.data, layout, &cases)? {
            progress.warn(&warning);
        }
        let options = SamOptions {
            input_side: request.input_side,
            device: request.device.clone(),
            precision: request.precision,
        };
        let frozen = Frozen::load(&request.encoder, &options)?;
        frozen.notes.say(Path::new(&frozen.name), progress);
        let encoder = EncoderRecord {
            file_blake3: Some(frozen.file_blake3.clone()),
            ..EncoderRecord::new(frozen.name.as_str(), frozen.blake3.as_str())
        };
        let options = EmbedOptions {
            dir: request.out.to_owned(),
            data_root: data_root(request.data).to_owned(),
            cases,
            encoder,
            preprocess: request.preprocess.clone(),
            dtype: request.dtype,
            slices: request.slices,
            precision: request.precision,
            batch: request.batch.unwrap_or(if request.device.is_cpu() { 1 } else { GPU_BATCH }),
            read: request.read.clone(),
        };
        Ok(Self { options, frozen })
    }

    fn image(&self) -> &dyn ImageEncoder {
        &self.frozen.sam.image
    }

    /// Writes the weights beside the features, while `_lock` keeps other processes away.
    fn write_weights<L>(&self, _lock: &L) -> Result<()> {
        let metadata = self.frozen.record(&self.options.preprocess).to_metadata()?;
        let path = self.options.dir.join(WEIGHTS_FILE);
        Ok(checkpoint::write(path, &self.frozen.tensors, &metadata)?)
    }
}
