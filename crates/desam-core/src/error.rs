//! Errors of this crate, and the wrapper for errors of implementations of its traits.

/// Any error, boxed; for implementors outside this workspace.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Result of the traits that are not tensor forwards.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of `desam-core`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape, length or channel count that does not fit.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The object that was checked, such as `mask to restore`.
        what: String,
        /// The shape or length that fits.
        expected: String,
        /// The one that was given.
        found: String,
    },
    /// Sizes that no image encoder has.
    #[error("encoder: expected {expected}, found {found}")]
    Spec {
        /// The sizes that fit.
        expected: String,
        /// The sizes that were given.
        found: String,
    },
    /// A batch of prompts that cannot be encoded.
    #[error("prompts: {0}")]
    Prompts(String),
    /// A table of classes that cannot be used.
    #[error("classes: {0}")]
    Classes(String),
    /// An affine without an inverse.
    #[error("affine is not invertible: rows {0:?}")]
    Affine([[f64; 4]; 3]),
    /// A precision that is supported on GPUs only.
    #[error("{0} is for GPUs only: on the CPU use f32, which is faster and more accurate there")]
    Precision(crate::Precision),
    /// The work was stopped by its caller; see [`CancellationToken`](crate::CancellationToken).
    #[error("cancelled")]
    Cancelled,
    /// A tensor operation failed.
    #[cfg(feature = "tensor")]
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// An error from an implementation of one of the traits.
    #[error(transparent)]
    External(BoxError),
}

impl Error {
    /// Wraps an implementor's error.
    pub fn external(source: impl Into<BoxError>) -> Self {
        Self::External(source.into())
    }

    /// An [`Error::Shape`] from values with `Debug`.
    pub fn shape(
        what: impl Into<String>,
        expected: impl std::fmt::Debug,
        found: impl std::fmt::Debug,
    ) -> Self {
        Self::Shape {
            what: what.into(),
            expected: format!("{expected:?}"),
            found: format!("{found:?}"),
        }
    }
}
