//! Embedding: filling a feature cache with the frozen encoder, by one process or several at once.

mod assemble;
mod encode;
mod part;
mod run;
mod stored;
mod writer;

pub use part::Part;
pub use writer::{CacheWriter, PartWriter};

use crate::Result;
use crate::cache::{EncoderRecord, FeatureDtype, SlicePolicy, StyleViews};
use crate::layout::Case;
use crate::preprocess::{PreprocessConfig, SiteRoundTrip};
use candle_core::Device;
use desam_core::{ImageEncoder, Precision, Progress};
use desam_volume::volumes::ReadOptions;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Options of an embedding: cases, recipe, output folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EmbedOptions {
    /// The cache's folder; created if absent.
    #[serde(with = "desam_core::serde_path")]
    pub dir: PathBuf,
    /// Folder that the cases lie in; their paths are remembered relative to it.
    #[serde(with = "desam_core::serde_path")]
    pub data_root: PathBuf,
    /// The cases.
    pub cases: Vec<Case>,
    /// The encoder, identified by the hash of its weights.
    pub encoder: EncoderRecord,
    /// Preprocessing of volumes to slices.
    pub preprocess: PreprocessConfig,
    /// Type of the stored features.
    pub dtype: FeatureDtype,
    /// Selection of the slices to store.
    pub slices: SlicePolicy,
    /// Style views to store beside the slices; not part of the cache's key.
    #[serde(default)]
    pub views: Option<StyleViews>,
    /// Compute precision of the encoder; part of the cache's key.
    #[serde(default)]
    pub precision: Precision,
    /// Slices of a case to encode at once, at least one. One is best on a CPU; a GPU is filled by
    /// several. On a CPU the features have the same bits whatever it is.
    #[serde(default = "one")]
    pub batch: usize,
    /// Options for reading volumes. The segment (labels only) and the channel (images only) become
    /// part of the cache's key.
    #[serde(skip)]
    pub read: ReadOptions,
}

impl EmbedOptions {
    /// Options for `cases` below `data_root` and a cache in `dir`: the paper's preprocessing, features of
    /// labelled slices in f16, computed in f32 one slice at a time.
    pub fn new(
        dir: impl Into<PathBuf>,
        data_root: impl Into<PathBuf>,
        cases: Vec<Case>,
        encoder: EncoderRecord,
    ) -> Self {
        Self {
            dir: dir.into(),
            data_root: data_root.into(),
            cases,
            encoder,
            preprocess: PreprocessConfig::paper(),
            dtype: FeatureDtype::default(),
            slices: SlicePolicy::default(),
            views: None,
            precision: Precision::F32,
            batch: one(),
            read: ReadOptions::default(),
        }
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

    /// Sets [`precision`](Self::precision).
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Sets [`batch`](Self::batch).
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Sets [`read`](Self::read).
    #[must_use]
    pub fn with_read(self, read: ReadOptions) -> Self {
        Self { read, ..self }
    }
}

fn one() -> usize {
    1
}

/// Summary of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedSummary {
    /// Cases in the cache.
    pub cases: usize,
    /// Slices in the cache.
    pub slices: usize,
    /// Style views of slices in the cache.
    #[serde(default)]
    pub views: usize,
    /// Slices and views that were encoded now.
    pub computed: usize,
    /// Slices and views that were already stored and valid.
    pub reused: usize,
    /// Size of all files of slices and cases, in bytes.
    pub bytes: u64,
    /// Round-trip loss of the labels of each site: to the masks and back.
    #[serde(default)]
    pub labels: Vec<SiteRoundTrip>,
}

/// Embeds cases into a cache, or continues where an interrupted run stopped.
/// First every volume is prepared, its images and masks are stored, and the size of the features is
/// reported; then the slices are encoded on `device`, a batch at a time. Memory holds one prepared
/// volume and the features of one batch, or of three where a pipeline prepares pixels and writes files
/// while the encoder runs (for batches of more than one slice, and wherever `device` is not the CPU),
/// whatever the number of cases. Existing files are kept where their seal and checksum are valid, and
/// regenerated otherwise; slices that only have new labels are not encoded again. Files of cases that
/// are no longer among the cases stay, unread.
///
/// With [`SlicePolicy::Labelled`] a slice is stored when its `M×M` mask, after preprocessing, has
/// foreground: a sliver of a label that vanishes in preprocessing could not be trained on.
/// The round-trip loss of labels is in the summary, site by site, with a warning above
/// [`MAX_ROUND_TRIP_LOSS`](crate::preprocess::MAX_ROUND_TRIP_LOSS).
///
/// # Errors
/// When another process writes to the folder, it holds a cache of another recipe, a case cannot be
/// read (all are needed for training, so none is skipped), a case lacks the ground truth that the
/// slice policy needs, two cases share a name, the encoder fails or its features cannot be stored, or
/// a file cannot be written; and [`Error::Cancelled`](crate::Error::Cancelled) after `progress` was
/// cancelled. What was written until then is kept and used by the next run.
pub fn embed(
    options: &EmbedOptions,
    encoder: &dyn ImageEncoder,
    device: &Device,
    progress: &dyn Progress,
) -> Result<EmbedSummary> {
    CacheWriter::new(options, encoder, device, progress)?.embed()
}

/// Summary of one part (shard) of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartSummary {
    /// The shard that was embedded.
    pub part: Part,
    /// Its own cases and slices.
    pub own: EmbedSummary,
    /// Parts that are not done yet, rising. Empty: the cache is whole.
    pub waiting_for: Vec<usize>,
}

/// Embeds one part's cases. The parts of a run may work at once, in any order, on any machines that
/// share the cache's folder; [`Part::cases`] says which cases are whose.
///
/// No two parts write the same file. A part that is done leaves a note of its cases in the folder
/// `parts`; the part that finds the notes of all others writes `cache.json`, with the bytes that
/// [`embed`] would have written, and removes the notes. Should two find them at once, both write
/// the same. A part that was killed continues when it is run again.
///
/// # Errors
/// As [`embed`]; when another process is at the same part, or at parts of other settings or data;
/// and when another part's note tells of another recipe or lacks a case.
pub fn embed_part(
    options: &EmbedOptions,
    part: Part,
    encoder: &dyn ImageEncoder,
    device: &Device,
    progress: &dyn Progress,
) -> Result<PartSummary> {
    PartWriter::new(options, part, encoder, device, progress)?.embed()
}

/// Assembles the cache of `of` parts that are all done. The last part does this already, unless it
/// could not see the others' notes yet, as may happen on a network file system.
///
/// # Errors
/// [`Error::PartsMissing`](crate::Error::PartsMissing) when parts are not done; when the notes do
/// not fit together, or a file that they tell of is missing or not right.
pub fn finish_parts(
    options: &EmbedOptions,
    of: usize,
    encoder: &dyn ImageEncoder,
    device: &Device,
    progress: &dyn Progress,
) -> Result<()> {
    CacheWriter::new(options, encoder, device, progress)?.finish_parts(of)
}
