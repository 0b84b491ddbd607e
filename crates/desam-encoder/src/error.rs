//! What can go wrong between a file and a frozen encoder.

use crate::checkpoint::EXPECTED;
use desam_core::text::DisplayPath as _;
use std::path::PathBuf;

/// Result of this crate, outside tensor forwards.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of `desam-encoder`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read, written or moved into place.
    #[error("{}: {source}", path.display_escaped())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is no checkpoint, or a damaged one.
    #[error("{} is not a checkpoint that can be read: {reason}", path.display_escaped())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do where that is known.
        reason: String,
    },
    /// Weights of a model that is neither SAM nor DeSAM.
    #[error("{path} holds {found} (it has {evidence}); {expected}{advice}", expected = EXPECTED)]
    ForeignModel {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: &'static str,
        /// A tensor that says so.
        evidence: String,
        /// What to do, if anything, after a semicolon.
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
        /// The first number that is not finite.
        value: f32,
        /// Its position, in row-major order.
        index: usize,
        /// How many are not finite.
        bad: usize,
        /// How many there are.
        count: usize,
    },
    /// A tensor whose type is no floating point.
    #[error(
        "{}: tensor {name} is of type {found}; expected f16, bf16, f32 or f64 \
         (remove it from the checkpoint if it is no parameter)",
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
    /// Two keys of a file stand for the same parameter and hold different numbers.
    #[error("{}: {first} and {second} are the same parameter and hold different values", path.display_escaped())]
    Conflict {
        /// The file.
        path: PathBuf,
        /// One key in the file.
        first: String,
        /// The other.
        second: String,
    },
    /// A parameter that the configuration is read from is missing or has no such shape.
    #[error("the configuration cannot be read off the checkpoint: {name} {problem}")]
    Shapes {
        /// The parameter's official name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A configuration that describes no encoder.
    #[error("encoder configuration: {0}")]
    Config(String),
    /// A preset that does not exist.
    #[error("no encoder preset is called {name:?}; there are {known}")]
    Preset {
        /// The name that was asked for.
        name: String,
        /// All there are.
        known: String,
    },
    /// The checkpoint's parameters are not the model's.
    #[error(transparent)]
    Parameters(#[from] desam_nn::Error),
    /// A tensor operation failed.
    #[error("{}", without_backtrace(.0))]
    Tensor(candle_core::Error),
    /// Built-in weights that are not what they were when they were made.
    #[error(
        "the built-in weights of {name} are damaged: their blake3 is {found}, expected {expected}; \
         get the source again and build it anew"
    )]
    Builtin {
        /// The encoder.
        name: &'static str,
        /// What the bytes should hash to.
        expected: &'static str,
        /// What they hash to.
        found: String,
    },
    /// A model of the hub that is not known here.
    #[cfg(feature = "hub")]
    #[error("no model on the hub is called {name:?} here; there are {known}")]
    HubModel {
        /// The name that was asked for.
        name: String,
        /// All there are.
        known: String,
    },
    /// The hub may not be asked and the file is not in the cache.
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
        /// Where it would be.
        looked: PathBuf,
    },
    /// A file in the cache that is not what it was when it was downloaded.
    #[cfg(feature = "hub")]
    #[error(
        "{path} is damaged: its sha256 is {found}, expected {expected}; remove it and go online once, \
         or give the path of a local file"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What its SHA-256 should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The hub could not be reached, did not answer in time or said no.
    #[cfg(feature = "hub")]
    #[error("{url}: {reason}; nothing is in the cache that could be mistaken for the whole file")]
    Hub {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// What the hub announces or sends is not what was expected. Nothing of it was kept.
    #[cfg(feature = "hub")]
    #[error("{url}: {what} differs: expected {announced}, received {received}; it was removed")]
    Download {
        /// What was asked for.
        url: String,
        /// `size in bytes` or `sha256`.
        what: &'static str,
        /// What is pinned, or what the hub's header says.
        announced: String,
        /// What the hub says, or what arrived.
        received: String,
    },
}

// Not `#[from]`, which would make it a source as well: sources are printed, backtrace and all.
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// candle's message; where `RUST_BACKTRACE` is set it would carry a backtrace.
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
