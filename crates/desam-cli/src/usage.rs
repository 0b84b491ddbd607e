//! Usage errors: mistakes in the command line or the environment, exit code 2.
//!
//! clap finds most of them. The rest are flags that do not go together and unusable environment
//! variables. Common to all: no file was read to find them. A mistake that depends on a file, such
//! as a site that the cache does not have, is an ordinary error with exit code 1.

use std::fmt::{self, Display, Formatter};

/// A usage error that clap's definition of the flags cannot express.
#[derive(Debug)]
pub(crate) struct UsageError(String);

impl Display for UsageError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A usage error with this message. Also serves as `.map_err(usage)` where the library validates
/// settings that came from flags.
#[allow(clippy::needless_pass_by_value, reason = "so that it can be given to map_err")]
pub(crate) fn usage(message: impl Display) -> anyhow::Error {
    UsageError(message.to_string()).into()
}
