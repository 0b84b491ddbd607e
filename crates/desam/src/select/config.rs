//! Thresholds of mask selection.

use super::SelectError;

/// Thresholds of mask selection: predicted IoU, non-maximum suppression, smallest region.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionConfig {
    /// A candidate is kept when its predicted IoU is above this. At 0 or below the filter is off,
    /// as in the official program.
    pub iou_threshold: f32,
    /// NMS threshold: of two boxes with an IoU above this, the worse is dropped. From 0 to 1; used for
    /// both rounds of NMS (the official program's two thresholds are equal).
    pub nms_threshold: f64,
    /// Holes and islands with fewer image pixels than this are removed; 0 leaves masks alone.
    /// A plain number of pixels; [`SelectionConfig::for_side`] scales it to another grid.
    pub min_region_px: usize,
    /// Half the distance between the two logit thresholds that the stability score compares.
    #[serde(default = "default_stability_offset")]
    pub stability_offset: f32,
}

fn default_stability_offset() -> f32 {
    1.0
}

impl SelectionConfig {
    /// The official program's thresholds, for images of 256².
    pub fn official() -> Self {
        Self {
            iou_threshold: 0.5,
            nms_threshold: 0.7,
            min_region_px: 1000,
            stability_offset: default_stability_offset(),
        }
    }

    /// The official rule for square images of another side: the smallest region is the same
    /// part of the image, `1000 / 256²` of its pixels rounded down (62 at 64², the reference
    /// vectors' number).
    pub fn for_side(image_side: usize) -> Self {
        let official = Self::official();
        let pixels = image_side.saturating_mul(image_side);
        let min_region_px = official.min_region_px.saturating_mul(pixels) / (256 * 256);
        Self { min_region_px, ..official }
    }

    /// Whether a predicted IoU passes the threshold. NaN never does.
    pub fn keeps(&self, predicted_iou: f32) -> bool {
        !predicted_iou.is_nan() && (self.iou_threshold <= 0.0 || predicted_iou > self.iou_threshold)
    }

    /// Indices of the predicted IoUs that pass the threshold, in their order: only these masks need
    /// be decoded.
    pub fn above_threshold(&self, predicted_iou: &[f32]) -> Vec<usize> {
        (0..).zip(predicted_iou).filter(|(_, iou)| self.keeps(**iou)).map(|(i, _)| i).collect()
    }

    /// Checks every threshold.
    ///
    /// # Errors
    /// When one is NaN or infinite, `nms_threshold` is outside 0 to 1, or `stability_offset` is
    /// negative.
    pub fn validate(&self) -> Result<(), SelectError> {
        let iou = f64::from(self.iou_threshold);
        let offset = f64::from(self.stability_offset);
        for (field, found, fits, expected) in [
            ("iou_threshold", iou, iou.is_finite(), "a finite number"),
            (
                "nms_threshold",
                self.nms_threshold,
                (0.0..=1.0).contains(&self.nms_threshold),
                "a number from 0 to 1",
            ),
            (
                "stability_offset",
                offset,
                offset.is_finite() && offset >= 0.0,
                "a finite number, at least 0",
            ),
        ] {
            if !fits {
                return Err(SelectError::Config { field, expected, found });
            }
        }
        Ok(())
    }
}
