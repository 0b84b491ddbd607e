//! From volumes on disk to a cache of frozen features.

use crate::Result;
use crate::model::{EncoderChoice, Frozen, WEIGHTS_FILE};
use candle_core::Device;
use desam_core::Progress;
use desam_data::cache::{EncoderRecord, FeatureDtype, SlicePolicy};
use desam_data::embed::EmbedOptions;
pub use desam_data::embed::EmbedSummary;
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
}

impl<'a> EmbedRequest<'a> {
    /// Official preprocessing, f16, labelled slices, on the CPU.
    pub fn new(data: &'a Path, out: &'a Path, encoder: EncoderChoice) -> Self {
        Self {
            data,
            out,
            encoder,
            input_side: None,
            preprocess: PreprocessConfig::official(),
            dtype: FeatureDtype::F16,
            slices: SlicePolicy::Labelled,
            device: Device::Cpu,
        }
    }
}

/// Runs the frozen image encoder once over a data set. A run that was interrupted continues; the
/// weights are written beside the features, so that training needs the cache alone.
///
/// # Errors
/// When the data set, a volume or the checkpoint cannot be read, or the folder holds a cache made
/// in another way.
pub fn embed(request: &EmbedRequest<'_>, progress: &dyn Progress) -> Result<EmbedSummary> {
    request.preprocess.validate()?;
    let cases = discover(request.data)?;
    let options = SamOptions { input_side: request.input_side, device: request.device.clone() };
    let frozen = Frozen::load(&request.encoder, &options)?;
    let options = EmbedOptions {
        dir: request.out.to_owned(),
        data_root: data_root(request.data).to_owned(),
        cases,
        encoder: EncoderRecord { name: frozen.name.clone(), weights_blake3: frozen.blake3.clone() },
        preprocess: request.preprocess.clone(),
        dtype: request.dtype,
        slices: request.slices,
    };
    let image = &frozen.sam.image;
    let summary = desam_data::embed::embed(&options, image, &request.device, progress)?;
    let metadata = frozen.record(&request.preprocess).to_metadata()?;
    checkpoint::write(request.out.join(WEIGHTS_FILE), &frozen.tensors, &metadata)?;
    Ok(summary)
}
