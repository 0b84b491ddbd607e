//! What can go wrong between a file and a frozen encoder.

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
    /// A `.pth` in the format PyTorch wrote before version 1.6.
    #[error(
        "{} is in PyTorch's format from before version 1.6, which is not read here; \
         save it again in Python: torch.save(torch.load(path, map_location=\"cpu\"), path)",
        path.display_escaped()
    )]
    LegacyPickle {
        /// The file.
        path: PathBuf,
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
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
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
    /// The hub could not be reached or said no.
    #[cfg(feature = "hub")]
    #[error("{url}: {reason}; nothing was kept that could be mistaken for the whole file")]
    Hub {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// What arrived is not what the hub announced. It was thrown away.
    #[cfg(feature = "hub")]
    #[error("{url}: {what} differs: announced {announced}, received {received}; thrown away")]
    Download {
        /// What was asked for.
        url: String,
        /// `size in bytes` or `sha256`.
        what: &'static str,
        /// What the hub's header says.
        announced: String,
        /// What arrived.
        received: String,
    },
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
