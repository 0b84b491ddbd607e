//! Errors of `desam`: each variant is something that a caller can match and mend.

use desam_core::text::DisplayPath as _;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of `desam`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display_escaped())]
    Io {
        /// The action: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A JSON file that is malformed, or of another kind.
    #[error("{} is not valid: {source}", path.display_escaped())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error, with its position.
        source: serde_json::Error,
    },
    /// A JSON file with an invalid field.
    #[error("{}: {field}: {source}", path.display_escaped())]
    JsonField {
        /// The file.
        path: PathBuf,
        /// The field, such as `cases[3].dice`.
        field: String,
        /// The parser's error, with its line.
        source: serde_json::Error,
    },
    /// Something about one file, with what to do about it.
    #[error("{}: {reason}", path.display_escaped())]
    File {
        /// The file.
        path: PathBuf,
        /// The problem, and its remedy.
        reason: String,
    },
    /// A file that is no DeSAM model: another program's checkpoint, or a plain SAM.
    #[error("{}: no DeSAM model: {reason}", path.display_escaped())]
    NotADesamModel {
        /// The file.
        path: PathBuf,
        /// The missing parts, or the contents that it has instead.
        reason: String,
    },
    /// A folder that is neither a model nor a training run.
    #[error("{}: not a run: it holds no config.json", dir.display_escaped())]
    NotARun {
        /// The folder.
        dir: PathBuf,
    },
    /// A training run without a model: its first epoch is not done.
    #[error("{}: this run has no model yet: its first epoch is not done", dir.display_escaped())]
    NoModelYet {
        /// The run's folder.
        dir: PathBuf,
    },
    /// A model with adapters whose base, the SAM below its adapters, is not there.
    #[error(
        "{}: the base that it was trained on is not at {}; name the SAM's file, or a cache made with it",
        model.display_escaped(),
        base.display_escaped()
    )]
    BaseMissing {
        /// The model's file.
        model: PathBuf,
        /// Where the base was expected.
        base: PathBuf,
    },
    /// A folder of features to come that holds a training run, whose model would be overwritten.
    #[error("{}: holds a run, whose model would be replaced; choose another folder", dir.display_escaped())]
    HoldsRun {
        /// The folder.
        dir: PathBuf,
    },
    /// An image encoder with other taps, channels or sides than those the model was trained on.
    #[error("the encoder gives {found:?}, the model was made for {expected:?}")]
    EncoderMismatch {
        /// The model's specification.
        expected: Box<desam_core::EncoderSpec>,
        /// The encoder's.
        found: Box<desam_core::EncoderSpec>,
    },
    /// A map of predicted IoUs was requested of a model that has none, or was not trained to predict
    /// them.
    #[error("{}", no_iou(*variant))]
    IouNotTrained {
        /// The model's variant.
        variant: desam_decoder::Variant,
    },
    /// Intensities that were to be matched to those of the training volumes, by a model that does not
    /// know them.
    #[error(
        "the model has no histogram of its training volumes: it was trained on images in colour, or before \
         histograms were kept"
    )]
    NoSourceHistogram,
    /// A grid of prompts with too few or too many points.
    #[error("grid must be 1 to {} points a side, found {found}", desam_prompt::MAX_GRID_SIDE)]
    Grid {
        /// Points along each side.
        found: usize,
    },
    /// A mask selection rule with a setting out of range.
    #[error(transparent)]
    Select(#[from] crate::select::SelectError),
    /// A device or precision set for a model that is loaded already.
    #[error("the model is loaded already: set device and precision when it is opened")]
    ModelIsLoaded,
    /// A prompt that cannot be used on its slice.
    #[error("prompt: {0}")]
    SlicePrompt(#[from] crate::predict::PromptError),
    /// A slice that a volume does not have.
    #[error("slice {index} of a volume whose slices are 0 to {}", slices.saturating_sub(1))]
    NoSuchSlice {
        /// The slice, from 0.
        index: usize,
        /// Number of slices in the volume.
        slices: usize,
    },
    /// A volume that cannot be placed in space, resampled or cut into slices.
    #[error("volume of {dims:?} voxels, {spacing_mm:?} mm: {problem}")]
    Geometry {
        /// Voxels along `i`, `j`, `k`.
        dims: [usize; 3],
        /// Spacing along `i`, `j`, `k`, in mm.
        spacing_mm: [f64; 3],
        /// The problem with the geometry.
        problem: String,
    },
    /// Distances between the pixels of a slice that are not positive and finite.
    #[error("spacing of {found:?} mm: expected two positive numbers")]
    Spacing {
        /// Between columns and between rows, in mm.
        found: [f64; 2],
    },
    /// A device that cannot be computed on.
    #[error("cannot compute on {device}: {reason}")]
    Device {
        /// The requested device.
        device: crate::DeviceChoice,
        /// The reason, and the remedy.
        reason: String,
    },
    /// A precision that the device does not compute in: bf16 on a CPU.
    #[error(transparent)]
    Precision(desam_core::Error),
    /// The work was cancelled from another thread; see
    /// [`CancellationToken`](crate::CancellationToken).
    #[error("cancelled: {done} of {total} {what}; {kept}")]
    Cancelled {
        /// The unit of work, such as `slices embedded`.
        what: &'static str,
        /// Number of finished units.
        done: usize,
        /// Number of all units.
        total: usize,
        /// The work that is kept, and how to continue.
        kept: &'static str,
    },
    /// Names of source sites that make no list of sites.
    #[error("source sites: {reason}")]
    SourceSites {
        /// Why.
        reason: String,
    },
    /// Settings or inputs that do not fit together.
    #[error("{0}")]
    Invalid(String),
    /// From the data: volumes, layouts, caches.
    #[error(transparent)]
    Data(desam_data::Error),
    /// From the shared types and traits.
    #[error(transparent)]
    Core(desam_core::Error),
    /// From a tensor operation.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// From parameters that do not fit the model.
    #[error(transparent)]
    Parameters(#[from] desam_nn::Error),
    /// From a checkpoint or the frozen encoders.
    #[error(transparent)]
    Encoder(#[from] desam_encoder::Error),
    /// From the decoder's configuration.
    #[error(transparent)]
    Decoder(#[from] desam_decoder::Error),
    /// From losses and metrics.
    #[error(transparent)]
    Metrics(#[from] desam_metrics::Error),
    /// From prompts.
    #[error(transparent)]
    Prompt(#[from] desam_prompt::Error),
}

impl From<desam_volume::Error> for Error {
    fn from(error: desam_volume::Error) -> Self {
        Self::Data(error.into())
    }
}

impl From<desam_core::Error> for Error {
    fn from(error: desam_core::Error) -> Self {
        match error {
            error @ desam_core::Error::Precision(_) => Self::Precision(error),
            error => Self::Core(error),
        }
    }
}

impl From<desam_data::Error> for Error {
    fn from(error: desam_data::Error) -> Self {
        use desam_data::Error as Data;
        match error {
            Data::Geometry { dims, spacing, problem } => {
                Self::Geometry { dims, spacing_mm: spacing, problem }
            }
            Data::SliceIndex { index, len } => Self::NoSuchSlice { index, slices: len },
            Data::Cancelled { what, done, total } => {
                let kept = "finished work is kept, and the next run continues there";
                Self::Cancelled { what, done, total, kept }
            }
            // A cancellation among them: `is_cancelled` finds it whatever crate noticed it.
            Data::Core(error) => error.into(),
            error => Self::Data(error),
        }
    }
}

/// Explanation of a predicted IoU without meaning.
fn no_iou(variant: desam_decoder::Variant) -> String {
    if variant.predicts_iou() {
        "this model was trained without a loss on the predicted IoU, as in whole box mode: its predicted \
         IoU is meaningless, and there is no map of it"
            .to_owned()
    } else {
        format!("a model of variant {variant} predicts no IoU: there is no map of it")
    }
}

impl Error {
    /// Whether the work was cancelled by the caller rather than failed.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. } | Self::Core(desam_core::Error::Cancelled))
    }

    /// For `map_err` on a system call.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Something about `path`.
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_is_one_whatever_crate_noticed_it() {
        let core = || desam_core::Error::Cancelled;
        let data = desam_data::Error::Cancelled { what: "slices", done: 1, total: 2 };
        let all = [core().into(), Error::from(desam_data::Error::from(core())), data.into()];
        assert!(all.iter().all(Error::is_cancelled));
        assert!(!Error::Invalid("other".into()).is_cancelled());
    }
}
