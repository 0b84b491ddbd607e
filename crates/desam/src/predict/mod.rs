//! From a volume to a mask, with no prompt.

mod ablation;
mod folder;
mod grid;
mod plain;
mod segmenter;
mod slice;

pub use folder::{FailedVolume, FolderSummary, segment_folder};
pub use segmenter::{Segmentation, Segmenter, VolumeSummary};
pub use slice::{SliceEvidence, SlicePrediction, SlicePredictor};

#[cfg(test)]
mod tests;
