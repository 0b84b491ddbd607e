//! What the JSON file beside a mask says.

use super::measure::{BoundingBox, IouStatistics};
use super::options::PredictOptions;
use crate::Automatic;
use crate::model::TrainingRecord;
use desam_core::Precision;
use desam_data::preprocess::PreprocessConfig;
use serde::Serialize;
use std::path::PathBuf;

/// One volume: what was read and written, what was found, and by what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VolumeReport {
    /// Version of this program.
    pub desam: String,
    /// The volume.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub input: PathBuf,
    /// Its mask.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub output: PathBuf,
    /// What was written beside the mask, this file left out.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub files: Vec<PathBuf>,
    /// Voxels along `i`, `j`, `k`.
    pub dims: [usize; 3],
    /// Millimetres along `i`, `j`, `k`.
    pub spacing_mm: [f64; 3],
    /// Voxel indices to mm, RAS+: the upper 3×4 of the matrix.
    pub affine: [[f64; 4]; 3],
    /// Voxels of the mask as it was written.
    pub voxels: usize,
    /// Their volume, in millilitres.
    pub volume_ml: f64,
    /// The box around them; none around an empty mask.
    pub bounding_box: Option<BoundingBox>,
    /// The axis that slices are cut along: 0, 1 or 2 for `i`, `j` or `k`.
    pub slice_axis: usize,
    /// Slices along that axis in which the mask is not empty, counted from 0.
    pub slices_with_mask: Vec<usize>,
    /// The IoUs that PRIM predicts. Left out where no slice has a mask in grid points mode, and where
    /// the model was not trained to predict them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_iou: Option<IouStatistics>,
    /// The settings.
    pub settings: Settings,
    /// The model.
    pub model: ModelFacts,
    /// What may not be as the user expects, a sentence each; empty where nothing is doubtful.
    pub warnings: Vec<String>,
}

/// Everything that decides a mask beside model and volume, and what else was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// How the model was prompted.
    pub prompts: Automatic,
    /// How the volume was prepared.
    pub preprocess: PreprocessConfig,
    /// What was done with the mask, and what was written beside it.
    pub options: PredictOptions,
    /// What it was computed on: `cpu`, or a GPU.
    pub device: String,
    /// What the model's large products were computed in.
    pub precision: Precision,
}

/// Which model it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelFacts {
    /// Its file; none where the caller made it.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub file: Option<PathBuf>,
    /// BLAKE3 of that file, in hexadecimal, as `b3sum` gives it.
    pub blake3: Option<String>,
    /// The image encoder's name.
    pub encoder: String,
    /// BLAKE3 of the frozen weights.
    pub encoder_blake3: String,
    /// How the decoder was trained, where that is recorded.
    pub training: Option<TrainingRecord>,
}
