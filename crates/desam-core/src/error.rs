//! What can go wrong in the vocabulary itself, and the envelope for what goes wrong behind a trait.

/// Any error, behind a trait object; what an implementor outside this workspace may return.
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
        /// What was being checked.
        what: String,
        /// The shape or length that fits.
        expected: String,
        /// The one that was given.
        found: String,
    },
    /// Numbers that describe no image encoder.
    #[error("encoder: expected {expected}, found {found}")]
    Spec {
        /// What fits.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A set of prompts that no encoder could read.
    #[error("prompts: {0}")]
    Prompts(String),
    /// An affine that maps voxels to no volume.
    #[error("affine is not invertible: rows {0:?}")]
    Affine([[f64; 4]; 3]),
    /// A precision that only a GPU computes in.
    #[error("{0} is for a GPU: on the CPU compute in f32, which is faster and more exact there")]
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

    /// A [`Error::Shape`] from anything that prints.
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
