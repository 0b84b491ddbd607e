//! Flags that several commands share.

mod bootstrap;
mod precision;
mod preprocess;
mod read;

pub(super) use bootstrap::BootstrapFlags;
pub(super) use precision::PrecisionFlag;
pub(super) use preprocess::PreprocessFlags;
pub(super) use read::ReadFlags;
