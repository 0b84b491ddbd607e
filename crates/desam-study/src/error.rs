//! Errors, with the facts needed to fix the input. Hints about flags are the program's.

use crate::evaluate::Protocol;
use crate::train::ResidencyRefusal;
use desam::model::SourceSites;
use desam_core::text::DisplayPath as _;
use desam_core::text::did_you_mean;
use desam_metrics::metric::CaseMetric;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of `desam-study`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of scores with a value out of the range of its metric.
    #[error(
        "{}: {field} is {found}; expected {expected}: the file was changed, or damaged; evaluate \
         the run again",
        path.display_escaped()
    )]
    ScoreOutOfRange {
        /// The file.
        path: PathBuf,
        /// The JSON field of the value.
        field: String,
        /// The value.
        found: f64,
        /// The allowed range.
        expected: &'static str,
    },
    /// A site that a cache does not hold.
    #[error(
        "the cache has no site {site:?}; its sites are {}{}",
        known.join(", "),
        did_you_mean(site, known.iter().map(String::as_str))
    )]
    UnknownSite {
        /// The unknown site.
        site: String,
        /// The cache's sites.
        known: Vec<String>,
    },
    /// A directory that should hold a run and does not.
    #[error("{}: not a run: it holds no config.json", dir.display_escaped())]
    NotARun {
        /// The directory.
        dir: PathBuf,
    },
    /// A directory for a new run that already holds one.
    #[error("{}: already holds a run", dir.display_escaped())]
    RunExists {
        /// The directory.
        dir: PathBuf,
    },
    /// A directory for a new run that holds a model which no run wrote.
    #[error(
        "{}: already holds a model.safetensors that no run wrote (of features, it is their frozen \
         weights)",
        dir.display_escaped()
    )]
    ForeignModel {
        /// The directory.
        dir: PathBuf,
    },
    /// A run that was started with other settings or inputs than it should be resumed with.
    #[error(
        "{}: the run was started with other settings: {}",
        dir.display_escaped(),
        differences.join("; ")
    )]
    SettingsDiffer {
        /// The run's directory.
        dir: PathBuf,
        /// Every difference, as `name: was a, now b`.
        differences: Vec<String>,
    },
    /// A run without the checkpoint it should be resumed from.
    #[error(
        "{}: its checkpoints are missing, so it cannot be resumed; its best model is \
         unaffected",
        dir.display_escaped()
    )]
    CheckpointsMissing {
        /// The run's directory.
        dir: PathBuf,
    },
    /// A run none of whose checkpoints is intact and its own.
    #[error(
        "{}: none of the run's checkpoints can be used, so it cannot be resumed; its best model \
         is unaffected. {}",
        dir.display_escaped(),
        reasons.join("; ")
    )]
    CheckpointsUnusable {
        /// The checkpoints' folder.
        dir: PathBuf,
        /// The problem with each checkpoint, newest first.
        reasons: Vec<String>,
    },
    /// A run whose best model was removed.
    #[error("{}: is missing: it held the best model, of epoch {epoch}; restore it", path.display_escaped())]
    BestModelMissing {
        /// The model's file.
        path: PathBuf,
        /// Its epoch, from 1.
        epoch: usize,
    },
    /// A cache without features, where training should read them.
    #[error("{}: holds only images and masks, no features", cache.display_escaped())]
    FeaturesMissing {
        /// The cache's folder.
        cache: PathBuf,
    },
    /// A class that no case is labelled with.
    #[error(
        "{}: no case of {} that is trained on has a label of class {name} (label {}); their labels are {}",
        cache.display_escaped(),
        sites.join(", "),
        numbers(labels, " or "),
        numbers(found, ", ")
    )]
    ClassMissing {
        /// The cache's folder.
        cache: PathBuf,
        /// The sites of those cases.
        sites: Vec<String>,
        /// The class.
        name: String,
        /// Its labels.
        labels: Vec<u8>,
        /// The labels that there are.
        found: Vec<u8>,
    },
    /// A cache without style views of a site, where training should draw them.
    #[error("{}: holds no style views of site {site}", cache.display_escaped())]
    ViewsMissing {
        /// The cache's folder.
        cache: PathBuf,
        /// A site that is trained on.
        site: String,
    },
    /// Style views that move the structure, where predictions of two views are compared.
    #[error(
        "{}: its style views ({augment}) move the structure, and consistency compares views that \
         differ in style alone",
        cache.display_escaped()
    )]
    ViewsMove {
        /// The cache's folder.
        cache: PathBuf,
        /// The changes that make the views.
        augment: String,
    },
    /// A cache of the slices with ground truth alone, where training is on all slices.
    #[error(
        "{}: holds features of slices with ground truth only, and training is on all slices",
        cache.display_escaped()
    )]
    EmptySlicesMissing {
        /// The cache's folder.
        cache: PathBuf,
    },
    /// A cache with fewer slices than a protocol scores.
    #[error(
        "the {protocol} protocol scores {needed} slices{}, but the cache {} holds features of \
         {stored}",
        case.as_ref().map_or_else(String::new, |case| format!(" of {case}")),
        cache.display_escaped()
    )]
    SlicesMissing {
        /// The scoring protocol.
        protocol: Protocol,
        /// The cache's folder.
        cache: PathBuf,
        /// The case, as `SITE/CASE`; `None` for all cases together.
        case: Option<String>,
        /// Slices that the protocol scores.
        needed: usize,
        /// Slices with stored features.
        stored: usize,
    },
    /// Features that were to stay in GPU memory and cannot.
    #[error("training: features cannot stay on the device: {reason}")]
    FeatureResidency {
        /// The reason.
        reason: ResidencyRefusal,
    },
    /// Intensities that were to be matched to training volumes, where a function is scored and not a model.
    #[error("matching intensities needs a model: its encoder, and its training volumes' histogram")]
    MatchingNeedsModel,
    /// Augmentation of images without an image encoder that runs during training.
    #[error("training: augmented images have no features in the cache; the encoder must run")]
    EncoderMustRun,
    /// A case without a finite value, which a paired comparison needs.
    #[error(
        "{title} of {case} has no finite value in the {which} run",
        title = crate::evaluate::metric_title(*metric)
    )]
    NoFiniteValue {
        /// The metric.
        metric: CaseMetric,
        /// The case, as `SITE/CASE`.
        case: String,
        /// The run: `first` or `second`.
        which: &'static str,
    },
    /// A run without scores under the requested protocol.
    #[error("{}: the run was not scored under this protocol", scores.display_escaped())]
    NotEvaluated {
        /// The file that should hold the scores.
        scores: PathBuf,
    },
    /// A directory that should hold a sweep's plan and does not.
    #[error("{}: no plan: it holds no plan.jsonl", dir.display_escaped())]
    NotAPlan {
        /// The directory.
        dir: PathBuf,
    },
    /// A directory for a new demonstration that already holds one.
    #[error("{}: already holds a demonstration", dir.display_escaped())]
    DemoExists {
        /// The directory.
        dir: PathBuf,
    },
    /// Scores without a metric that should be compared.
    #[error("the {which} run was not scored by {title}", title = crate::evaluate::metric_title(*metric))]
    MetricMissing {
        /// The run: `first` or `second`.
        which: &'static str,
        /// The metric.
        metric: CaseMetric,
    },
    /// A cache that was made with another encoder or preprocessing than the model that is to be scored.
    #[error(
        "the cache {} (encoder {encoder}) was made with {differs} than the model's (encoder \
         {model_encoder}); embed the data with the model's encoder and preprocessing",
        cache.display_escaped()
    )]
    CacheOfAnotherModel {
        /// The cache's folder.
        cache: PathBuf,
        /// The cache's encoder.
        encoder: String,
        /// The model's encoder.
        model_encoder: String,
        /// The difference, such as `another preprocessing`.
        differs: &'static str,
    },
    /// A case that training held out and that the cache to score with does not hold.
    #[error(
        "case {case} of site {site} was held out for validation, but the cache {} has no such case; \
         score with the cache that was trained on, or leave site {site} out",
        cache.display_escaped()
    )]
    HeldOutCaseMissing {
        /// The source site.
        site: String,
        /// The case.
        case: String,
        /// The cache's folder.
        cache: PathBuf,
    },
    /// An evaluation without a site to score.
    #[error("nothing to score: {source_sites} was trained on, and no other site is chosen")]
    NothingToScore {
        /// The sites that the model was trained on.
        source_sites: SourceSites,
    },
    /// A border of predicted masks that leaves no pixel of them.
    #[error(
        "a border of {border_px} pixels leaves nothing of masks of {mask_side} × {mask_side}; choose \
         less than {}",
        mask_side.div_ceil(2)
    )]
    BorderTooWide {
        /// The border, in pixels of a mask.
        border_px: usize,
        /// Side of the masks, in pixels.
        mask_side: usize,
    },
    /// Two evaluations with different settings, voxels or cases, which no paired comparison can take.
    #[error("the two runs were not scored alike: {}", first_of(differences))]
    ScoredDifferently {
        /// Every difference.
        differences: Vec<String>,
    },
    /// Two evaluations without a common case.
    #[error("the two runs have no case in common")]
    NoCommonCase,
    /// Settings or inputs that do not fit together.
    #[error("{0}")]
    Invalid(String),
    /// A NaN or infinite loss in training; what was saved before stays.
    #[error(
        "the loss is {loss} at epoch {epoch}, step {step}; try a smaller learning rate \
         (the best model so far is kept)"
    )]
    NotFinite {
        /// The loss.
        loss: f64,
        /// Epoch, from 1.
        epoch: usize,
        /// Step within the epoch, from 1.
        step: usize,
    },
    /// From `desam` and the crates below it: files, models, volumes, caches, tensors.
    #[error(transparent)]
    Desam(#[from] desam::Error),
}

/// Numbers as a list; `none` where there are none.
fn numbers(numbers: &[u8], between: &str) -> String {
    match numbers {
        [] => "none".to_owned(),
        numbers => numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(between),
    }
}

impl Error {
    /// Whether the work was cancelled by the caller rather than failed.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Desam(error) if error.is_cancelled())
    }

    /// For `map_err` on a system call.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| desam::Error::Io { action, path: path.to_owned(), source }.into()
    }

    /// For `map_err` on reading or writing JSON.
    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| desam::Error::Json { path: path.to_owned(), source }.into()
    }

    /// A site that is not among `known`.
    pub(crate) fn unknown_site(site: &str, known: &[&str]) -> Self {
        let known = known.iter().map(|&k| k.to_owned()).collect();
        Self::UnknownSite { site: site.to_owned(), known }
    }

    /// Something about `path`.
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        desam::Error::File { path: path.to_owned(), reason: reason.into() }.into()
    }
}

/// Differences that a message lists before it counts the rest.
const MAX_LISTED: usize = 5;

/// The first few of `differences`, and how many more there are.
fn first_of(differences: &[String]) -> String {
    let mut text = differences.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join("; ");
    if let Some(more) = differences.len().checked_sub(MAX_LISTED).filter(|n| *n > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// Errors of the crates below `desam` are [`Error::Desam`] as well: one variant to match for each.
macro_rules! through_desam {
    ($($source:ty),* $(,)?) => {
        $(
            impl From<$source> for Error {
                fn from(error: $source) -> Self {
                    Self::Desam(error.into())
                }
            }
        )*
    };
}

through_desam!(
    candle_core::Error,
    desam_core::Error,
    desam_data::Error,
    desam_decoder::Error,
    desam_encoder::Error,
    desam_metrics::Error,
    desam_nn::Error,
    desam_prompt::Error,
    desam_volume::Error,
);
