//! What can go wrong, and how to mend it.

use desam_core::text::DisplayPath as _;
use desam_core::text::did_you_mean;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of `desam-study`.
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
    /// A file of scores with a number that no score can be.
    #[error(
        "{}: {field} is {found}; expected {expected}: the file was changed, or damaged; evaluate \
         the run again",
        path.display_escaped()
    )]
    ScoreOutOfRange {
        /// The file.
        path: PathBuf,
        /// The number's place in it.
        field: String,
        /// The number.
        found: f64,
        /// What it can be.
        expected: &'static str,
    },
    /// A site that a cache does not hold.
    #[error(
        "the cache has no site {site:?}; its sites are {}{}",
        known.join(", "),
        did_you_mean(site, known.iter().map(String::as_str))
    )]
    UnknownSite {
        /// The site that was asked for.
        site: String,
        /// The cache's sites.
        known: Vec<String>,
    },
    /// Something about one file, with what to do about it.
    #[error("{}: {reason}", path.display_escaped())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Settings or inputs that do not fit together.
    #[error("{0}")]
    Invalid(String),
    /// Training met a loss that is no number; what was saved before stays.
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
    /// From `desam` and the crates below it: models, volumes, caches, tensors.
    #[error(transparent)]
    Desam(#[from] desam::Error),
}

impl Error {
    /// For `map_err` on a system call.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// A site that is not among `known`.
    pub(crate) fn unknown_site(site: &str, known: &[&str]) -> Self {
        let known = known.iter().map(|&k| k.to_owned()).collect();
        Self::UnknownSite { site: site.to_owned(), known }
    }

    /// Something about `path`.
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.into() }
    }
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
);
