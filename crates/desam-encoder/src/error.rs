//! Errors of loading checkpoints and building encoders.

use desam_core::text::DisplayPath as _;
use std::path::PathBuf;

/// Result of this crate, outside tensor forwards.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The supported models, for error messages.
const EXPECTED: &str = "expected a SAM (ViT-B, ViT-L or ViT-H, as segment-anything or \
    transformers' SamModel saves it), a MedSAM, a MobileSAM, or a DeSAM model";

/// Errors of `desam-encoder`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read, written or moved into place.
    #[error("{}: {source}", path.display_escaped())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A file that is not a checkpoint, or a damaged one.
    #[error("{} cannot be read as a checkpoint: {reason}", path.display_escaped())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The problem, and its remedy where that is known.
        reason: String,
    },
    /// Weights of a recognised model that is neither SAM nor DeSAM.
    #[error("{path} holds {found} (it has {evidence}); {expected}{advice}", expected = EXPECTED)]
    UnsupportedModel {
        /// The file.
        path: PathBuf,
        /// The model in it.
        found: &'static str,
        /// Name of a tensor that only this model has.
        evidence: String,
        /// The remedy, if there is one, after a semicolon.
        advice: String,
    },
    /// A parameter that holds NaN or an infinity.
    #[error(
        "{path}: tensor {tensor} holds {value} at element {index} ({bad} of its {count} numbers are \
         not finite); weights have to be finite: the training that wrote it diverged, or the file is \
         damaged; take an earlier checkpoint"
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        tensor: String,
        /// The first value that is not finite.
        value: f32,
        /// Its index, in row-major order.
        index: usize,
        /// Number of values that are not finite.
        bad: usize,
        /// Number of values.
        count: usize,
    },
    /// A tensor that is not floating point.
    #[error(
        "{}: tensor {name} is of type {found}; expected f16, bf16, f32 or f64 \
         (remove it from the checkpoint if it is not a parameter)",
        path.display_escaped()
    )]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// Its type, as the file calls it.
        found: String,
    },
    /// Two keys of a file name the same parameter and hold different values.
    #[error("{}: {first} and {second} are the same parameter and hold different values", path.display_escaped())]
    Conflict {
        /// The file.
        path: PathBuf,
        /// One key in the file.
        first: String,
        /// The other.
        second: String,
    },
    /// A parameter that determines the configuration is missing or has another shape.
    #[error("the configuration cannot be inferred from the checkpoint: {name} {problem}")]
    Shapes {
        /// The parameter's official name.
        name: String,
        /// The problem with it, such as `is missing`.
        problem: String,
    },
    /// A configuration that no encoder can be built from.
    #[error("encoder configuration: {0}")]
    Config(String),
    /// A preset that does not exist.
    #[error("unknown encoder preset {name:?}; expected one of {known}")]
    Preset {
        /// The unknown name.
        name: String,
        /// All known names.
        known: String,
    },
    /// The checkpoint's parameters are not the model's.
    #[error(transparent)]
    Parameters(#[from] desam_nn::Error),
    /// A tensor operation failed.
    #[error("{}", without_backtrace(.0))]
    Tensor(candle_core::Error),
    /// Built-in weights whose hash is not the expected one.
    #[error(
        "the built-in weights of {name} are damaged: their blake3 is {found}, expected {expected}; \
         get the source again and rebuild"
    )]
    Builtin {
        /// The encoder.
        name: &'static str,
        /// The expected hash.
        expected: &'static str,
        /// The actual hash.
        found: String,
    },
    /// An unknown name of a model on the hub.
    #[cfg(feature = "hub")]
    #[error("unknown model name {name:?}; expected one of {known}")]
    HubModel {
        /// The unknown name.
        name: String,
        /// All known names.
        known: String,
    },
    /// Offline mode, and the file is not in the cache.
    #[cfg(feature = "hub")]
    #[error(
        "offline, and {file} of {repo} at {revision} is not in the cache: looked for {looked}; \
         go online once, or give the path of a local file"
    )]
    Offline {
        /// The repository on the hub.
        repo: String,
        /// The file in it.
        file: String,
        /// The pinned revision.
        revision: String,
        /// The path it would have.
        looked: PathBuf,
    },
    /// A file in the cache whose SHA-256 is not that of the download.
    #[cfg(feature = "hub")]
    #[error(
        "{path} is damaged: its sha256 is {found}, expected {expected}; remove it and go online once, \
         or give the path of a local file"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The expected SHA-256.
        expected: String,
        /// The actual SHA-256.
        found: String,
    },
    /// The hub could not be reached, timed out or refused the request.
    #[cfg(feature = "hub")]
    #[error("{url}: {reason}; the cache contains no partial file under the final name")]
    Hub {
        /// The URL.
        url: String,
        /// The reason.
        reason: String,
    },
    /// The hub announces or sends something unexpected. Nothing of it was kept.
    #[cfg(feature = "hub")]
    #[error("{url}: {what} differs: expected {announced}, received {received}; it was removed")]
    Download {
        /// The URL.
        url: String,
        /// `size in bytes` or `sha256`.
        what: &'static str,
        /// The pinned value, or that of the hub's header.
        announced: String,
        /// The hub's value, or that of the received bytes.
        received: String,
    },
}

// Not `#[from]`, which would make it a source as well: error reporters print sources, including the
// backtrace.
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// candle's message without the backtrace that it includes where `RUST_BACKTRACE` is set.
fn without_backtrace(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => without_backtrace(inner),
        other => other.to_string(),
    }
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// An [`Error::Checkpoint`] about `path`.
    pub(crate) fn checkpoint(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Checkpoint { path: path.into(), reason: reason.to_string() }
    }

    /// An [`Error::Shapes`] about parameter `name`.
    pub(crate) fn shapes(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Shapes { name: name.into(), problem: problem.into() }
    }
}
