//! From a volume to a mask, with no prompt.

mod ablation;
mod existing;
mod features;
mod findings;
mod folder;
mod grid;
mod maps;
mod masks;
mod measure;
mod options;
mod output;
mod picture;
mod plain;
mod report;
mod segmenter;
mod share;
mod slice;

pub use existing::existing_outputs;
pub use folder::{FailedVolume, FolderSummary, segment_folder};
pub use measure::{BoundingBox, IouStatistics};
pub use options::{PredictOptions, SliceChoice};
pub use output::VolumeSummary;
pub use report::{ModelFacts, Settings, VolumeReport};
pub use segmenter::{Segmentation, Segmenter};
pub use slice::{SliceEvidence, SlicePrediction, SlicePredictor};

#[cfg(test)]
mod tests;
