//! The result of segmenting a volume.

use crate::predict::{MaskSize, SlicePrediction};
use desam_core::{LabelVolume, Volume};

/// Mask of a volume, with the predictions that it is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Segmentation {
    /// The mask, 0 and 1, on the volume's own grid.
    pub mask: LabelVolume,
    /// Prediction of each processed slice: `M×M` mask, predicted IoU and point.
    pub slices: Vec<SlicePrediction>,
    /// Probabilities on the volume's own grid, if
    /// [`PredictOptions::probability`](crate::predict::PredictOptions::probability) is set.
    pub probability: Option<Volume>,
    /// Predicted IoUs on the volume's own grid, if
    /// [`PredictOptions::iou_map`](crate::predict::PredictOptions::iou_map) is set.
    pub iou_map: Option<Volume>,
    /// Whether it is the mask of a two-dimensional image, whose grid has no millimetres.
    pub in_pixels: bool,
    /// Warnings about the volume and its mask, a sentence each: an image without contrast, an empty
    /// mask, a volume unlike those that the model was trained on.
    pub warnings: Vec<String>,
}

impl Segmentation {
    /// Volume of the mask, in millilitres; of a two-dimensional image, as if its pixels were cubes of 1 mm.
    pub fn volume_ml(&self) -> f64 {
        self.voxels() as f64 * self.mask.grid().voxel_mm3() / 1000.0
    }

    /// Size of the mask in what the volume or image is measured in.
    pub fn size(&self) -> MaskSize {
        if self.in_pixels {
            MaskSize::Area { area_px2: self.voxels() }
        } else {
            MaskSize::Volume { volume_ml: self.volume_ml() }
        }
    }

    /// Confidence of the mask, 0 to 1: the agreement of grid points on each slice, weighted by the slice's
    /// area; `None` where no slice has one
    /// ([`PredictOptions::confidence`](crate::predict::PredictOptions::confidence)).
    ///
    /// It says whether points agree, not whether they are right: a model may be sure of the wrong organ.
    pub fn confidence(&self) -> Option<f64> {
        let weighted = self.slices.iter().filter_map(|slice| {
            let area = slice.mask.area() as f64;
            Some([f64::from(slice.agreement?) * area, area])
        });
        let [sum, area] = weighted.fold([0.0, 0.0], |[a, b], [sum, area]| [a + sum, b + area]);
        (area > 0.0).then(|| sum / area)
    }

    fn voxels(&self) -> usize {
        self.mask.data().iter().filter(|v| **v > 0).count()
    }
}
