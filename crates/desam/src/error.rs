//! What can go wrong, and how to mend it.

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
        /// What was tried: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A JSON file that does not say what it should.
    #[error("{} is not valid: {source}", path.display_escaped())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A JSON file one field of which is not what it should be.
    #[error("{}: {field}: {source}", path.display_escaped())]
    JsonField {
        /// The file.
        path: PathBuf,
        /// The field, such as `cases[3].dice`.
        field: String,
        /// What is wrong with it, and in which line.
        source: serde_json::Error,
    },
    /// Something about one file, with what to do about it.
    #[error("{}: {reason}", path.display_escaped())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A device that cannot be computed on.
    #[error("cannot compute on {device}: {reason}")]
    Device {
        /// The device that was asked for.
        device: crate::DeviceChoice,
        /// Why not, and what to do.
        reason: String,
    },
    /// Settings or inputs that do not fit together.
    #[error("{0}")]
    Invalid(String),
    /// From the data: volumes, layouts, caches.
    #[error(transparent)]
    Data(#[from] desam_data::Error),
    /// From the vocabulary.
    #[error(transparent)]
    Core(#[from] desam_core::Error),
    /// From a tensor operation.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// From parameters that do not fit the model.
    #[error(transparent)]
    Parameters(#[from] desam_nn::Error),
    /// From a checkpoint or the frozen half.
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

impl Error {
    /// For `map_err` on a system call.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Something about `path`.
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.into() }
    }
}
