//! How a volume is read: options, and readers of foreign formats.

mod options;
mod reader;

pub use options::{Loaded, ReadOptions};
pub use reader::VolumeReader;
pub(crate) use reader::{load_labels, load_volume, strip_ending};
