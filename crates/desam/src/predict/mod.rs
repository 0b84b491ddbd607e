//! Prediction: masks of volumes by automatic prompts, masks of single slices by a user's.

mod ablation;
mod agreement;
mod class_files;
mod class_map;
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
mod presence;
mod report;
mod scaled_progress;
mod segmenter;
mod slice;
mod slice_mask;
mod slice_prompt;

pub use class_map::{class_map, class_planes};
pub use existing::existing_outputs;
pub use folder::{FailedVolume, FolderSummary, segment_folder};
pub use measure::{BoundingBox, IouStatistics, MaskSize};
pub use options::{PredictOptions, SliceChoice};
pub use output::{ClassSummary, VolumeSummary};
pub use presence::{Found, keep_present_slices, present_run};
pub use report::{ClassReport, ModelFacts, Settings, SliceReport, VolumeReport};
pub use segmenter::{
    ClassSegmentation, EncodedSlice, GraySlice, Segmentation, Segmenter, SegmenterBuilder, by_area,
};
pub use slice::{ClassPrediction, SliceEvidence, SlicePrediction, SlicePredictor};
pub use slice_mask::SliceMask;
pub use slice_prompt::{PromptError, SlicePrompt};

#[cfg(test)]
mod tests;
