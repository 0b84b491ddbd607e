//! Flags that several commands share.

mod base;
mod bootstrap;
mod json;
mod precision;
mod preprocess;
mod prompt;
mod read;
mod schedule;

pub(super) use base::BaseFlag;
pub(super) use bootstrap::BootstrapFlags;
pub(super) use json::{JsonFileFlag, JsonFlag};
pub(super) use precision::PrecisionFlag;
pub(super) use preprocess::PreprocessFlags;
pub(super) use prompt::PromptFlags;
pub(super) use read::ReadFlags;
pub(super) use schedule::ScheduleFlags;
