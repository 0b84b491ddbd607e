//! The result of prompting one slice.

use super::SlicePrediction;
use desam_core::BinaryMask;

/// Mask of one slice for a user's prompt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SliceMask {
    /// The mask on the slice's own pixels, small holes and islands removed.
    pub mask: BinaryMask,
    /// Predicted IoU of the mask; `None` where the model was not trained to predict it.
    pub predicted_iou: Option<f32>,
    /// Foreground probability of each pixel, row by row, 0 to 1: the sigmoid of the logits, linearly
    /// interpolated; 0 outside the crop that the model sees. Small regions are not removed here.
    pub probability: Vec<f32>,
    /// The prediction on the model's grid, `M×M`.
    pub raw: SlicePrediction,
}
