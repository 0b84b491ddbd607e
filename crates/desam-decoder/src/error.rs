//! Errors of decoder configurations.

/// Result of this crate, outside tensor forwards.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of `desam-decoder`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that no decoder can be built from.
    #[error("decoder configuration: {0}")]
    Config(String),
    /// A checkpoint whose mask decoder cannot be recognised.
    #[error(
        "the checkpoint's mask decoder cannot be recognised: {name} should be {expected}, \
         found {found}"
    )]
    Unrecognised {
        /// The parameter.
        name: String,
        /// The shape or kind of tensor that every SAM mask decoder has there.
        expected: String,
        /// The one in the checkpoint.
        found: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
