//! Usage errors: mistakes in the command line or the environment, exit code 2.
//!
//! clap finds most of them. The rest are flags that do not go together and unusable environment
//! variables. Common to all: no file was read to find them. A mistake that depends on a file, such
//! as a site that the cache does not have, is an ordinary error with exit code 1.

use std::fmt::{self, Display, Formatter};

/// A usage error that clap's definition of the flags cannot express.
#[derive(Debug)]
pub(crate) struct UsageError {
    text: String,
    /// The library's error, for the hint.
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Display for UsageError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for UsageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// A usage error with this message.
pub(crate) fn usage(message: impl Display) -> anyhow::Error {
    UsageError { text: message.to_string(), source: None }.into()
}

/// A usage error from the library, which validates settings that came from flags; for `map_err`.
pub(crate) fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    UsageError { text: error.to_string(), source: Some(Box::new(error)) }.into()
}
