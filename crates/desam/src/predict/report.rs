//! The JSON report next to a mask.

use super::SlicePrediction;
use super::measure::{BoundingBox, IouStatistics, MaskSize};
use super::options::PredictOptions;
use crate::PromptingConfig;
use crate::model::TrainingRecord;
use desam_core::Precision;
use desam_data::preprocess::{Interpolation, PreprocessConfig};
use serde::Serialize;
use std::path::PathBuf;

/// Report about one segmented volume: files, geometry, measurements, settings, model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VolumeReport {
    /// Version of this program.
    pub desam: String,
    /// The volume.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub input: PathBuf,
    /// Its mask.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub output: PathBuf,
    /// Files written next to the mask, except this one.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub files: Vec<PathBuf>,
    /// Voxels along `i`, `j`, `k`.
    pub dims: [usize; 3],
    /// Millimetres along `i`, `j`, `k`; absent of a two-dimensional image, as the next is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[f64; 3]>,
    /// Voxel indices to mm, RAS+: the upper 3×4 of the matrix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affine: Option<[[f64; 4]; 3]>,
    /// Voxels of the written mask.
    pub voxels: usize,
    /// Their volume in millilitres, `volume_ml`, or their area in square pixels, `area_px2`.
    #[serde(flatten)]
    pub size: MaskSize,
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
    /// Confidence of the mask, 0 to 1 ([`Segmentation::confidence`](super::Segmentation::confidence)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Agreement of grid points, 0 to 1 ([`Segmentation::agreement`](super::Segmentation::agreement)); present
    /// only on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// Each class of a model of several; the predicted IoU and the slices are then theirs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassReport>,
    /// Every processed slice with a mask, where the model is calibrated or agreement was requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceReport>,
    /// The settings.
    pub settings: Settings,
    /// The model.
    pub model: ModelFacts,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// Report about one class of a volume.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClassReport {
    /// The class's name.
    pub name: String,
    /// Its label in the mask.
    pub label: u8,
    /// Its volume in millilitres, or its area in square pixels.
    #[serde(flatten)]
    pub size: MaskSize,
    /// The IoUs that PRIM predicts for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_iou: Option<IouStatistics>,
    /// Confidence of its masks, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Agreement of grid points about its masks, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// Every processed slice with a mask of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceReport>,
}

/// Prediction of one processed slice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SliceReport {
    /// The processed slice, counted from 0 as the model sees them: from inferior where slices are axial,
    /// and of another number than the volume's where these are resampled.
    pub processed_slice: usize,
    /// Pixels of its mask, of `M × M`.
    pub area_px: usize,
    /// The predicted IoU, without a sigmoid.
    pub predicted_iou: Option<f32>,
    /// The Dice that is to be expected of its mask, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// Agreement of other grid points with its mask, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f32>,
}

impl SliceReport {
    /// Reports on all slices with a mask that was rated.
    pub(super) fn of(slices: &[SlicePrediction]) -> Vec<Self> {
        let all = slices.iter().enumerate().map(|(processed_slice, slice)| Self {
            processed_slice,
            area_px: slice.mask.area(),
            predicted_iou: slice.predicted_iou,
            confidence: slice.confidence,
            agreement: slice.agreement,
        });
        let rated = |slice: &Self| slice.confidence.is_some() || slice.agreement.is_some();
        all.filter(|slice| slice.area_px > 0 && rated(slice)).collect()
    }
}

/// Settings of a prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Settings {
    /// Automatic prompts.
    pub prompts: PromptingConfig,
    /// Preprocessing.
    pub preprocess: PreprocessConfig,
    /// Postprocessing and extra files.
    pub options: PredictOptions,
    /// Interpolation of the mask on the volume's own grid.
    pub mask_interpolation: Interpolation,
    /// Device: `cpu`, or a GPU such as `cuda:0`.
    pub device: String,
    /// Precision of the large matrix multiplications.
    pub precision: Precision,
}

/// Identity of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ModelFacts {
    /// Its file; none for a model assembled by the caller.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub file: Option<PathBuf>,
    /// BLAKE3 of that file, in hexadecimal, as `b3sum` gives it.
    pub blake3: Option<String>,
    /// The image encoder's name.
    pub encoder: String,
    /// BLAKE3 of the frozen weights.
    pub encoder_blake3: String,
    /// Training of the decoder, if recorded.
    pub training: Option<TrainingRecord>,
}
