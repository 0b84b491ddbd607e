//! From volumes on disk to a cache of frozen features.

use crate::model::{EncoderChoice, Frozen, WEIGHTS_FILE};
use crate::train::Run;
use crate::{Error, Result};
use candle_core::Device;
use desam_core::{ImageEncoder, Precision, Progress};
use desam_data::cache::{EncoderRecord, FeatureDtype, SlicePolicy};
use desam_data::embed::EmbedOptions;
pub use desam_data::embed::{EmbedSummary, Part, PartSummary};
use desam_data::layout::{data_root, discover};
use desam_data::preprocess::PreprocessConfig;
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
        }
    }
}

/// Runs the frozen image encoder once over a data set. A run that was interrupted continues; the
/// weights are written beside the features, so that training needs the cache alone.
///
/// # Errors
/// When the data set, a volume or the checkpoint cannot be read, or the folder holds a run, or a
/// cache made in another way.
pub fn embed(request: &EmbedRequest<'_>, progress: &dyn Progress) -> Result<EmbedSummary> {
    let work = Work::of(request)?;
    let summary = desam_data::embed::embed(&work.options, work.image(), &request.device, progress)?;
    work.write_weights(request)?;
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
    let work = Work::of(request)?;
    let encoder = (work.image(), &request.device);
    let summary = desam_data::embed::embed_part(&work.options, part, encoder, progress)?;
    if summary.waiting_for.is_empty() {
        work.write_weights(request)?;
    }
    Ok(summary)
}

/// Makes one cache of `of` parts that are all done; see [`desam_data::embed::finish_parts`].
///
/// # Errors
/// When a part is not done, naming it, or was made in another way.
pub fn finish_parts(request: &EmbedRequest<'_>, of: usize, progress: &dyn Progress) -> Result<()> {
    let work = Work::of(request)?;
    let encoder = (work.image(), &request.device);
    desam_data::embed::finish_parts(&work.options, of, encoder, progress)?;
    work.write_weights(request)
}

/// What a request comes to.
struct Work {
    options: EmbedOptions,
    frozen: Frozen,
}

impl Work {
    fn of(request: &EmbedRequest<'_>) -> Result<Self> {
        request.preprocess.validate()?;
        request.precision.check_on(&request.device)?;
        if request.batch == Some(0) {
            return Err(Error::Invalid("a batch of 0 slices encodes none: give 1 or more".into()));
        }
        // The weights beside features have the name of a run's model.
        if Run::open(request.out).is_ok() {
            let reason = "holds a run, whose model would be replaced; choose another --out";
            return Err(Error::file(request.out, reason));
        }
        let cases = discover(request.data)?;
        let options = SamOptions {
            input_side: request.input_side,
            device: request.device.clone(),
            precision: request.precision,
        };
        let frozen = Frozen::load(&request.encoder, &options)?;
        let encoder =
            EncoderRecord { name: frozen.name.clone(), weights_blake3: frozen.blake3.clone() };
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
        };
        Ok(Self { options, frozen })
    }

    fn image(&self) -> &dyn ImageEncoder {
        &self.frozen.sam.image
    }

    fn write_weights(&self, request: &EmbedRequest<'_>) -> Result<()> {
        let metadata = self.frozen.record(&request.preprocess).to_metadata()?;
        let path = request.out.join(WEIGHTS_FILE);
        Ok(checkpoint::write(path, &self.frozen.tensors, &metadata)?)
    }
}
