//! The result of segmenting a volume.

use super::super::measure::MaskSize;
use crate::predict::SlicePrediction;
use desam_core::{LabelVolume, Volume};

/// What was predicted of one class of a volume.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClassSegmentation {
    /// The class's name.
    pub name: String,
    /// Its label in the mask.
    pub label: u8,
    /// Prediction of each processed slice: `M×M` mask, predicted IoU and point. Masks of different classes
    /// may overlap here.
    pub slices: Vec<SlicePrediction>,
    /// Probabilities on the volume's own grid, if
    /// [`PredictOptions::probability`](crate::predict::PredictOptions::probability) is set.
    pub probability: Option<Volume>,
    /// Predicted IoUs on the volume's own grid, if
    /// [`PredictOptions::iou_map`](crate::predict::PredictOptions::iou_map) is set.
    pub iou_map: Option<Volume>,
}

impl ClassSegmentation {
    /// Confidence of the class's masks, as [`Segmentation::confidence`].
    pub fn confidence(&self) -> Option<f64> {
        by_area(self.slices.iter(), |slice| slice.confidence)
    }

    /// Agreement of grid points about the class's masks, as [`Segmentation::agreement`].
    pub fn agreement(&self) -> Option<f64> {
        by_area(self.slices.iter(), |slice| slice.agreement)
    }
}

/// Mask of a volume, with the predictions that it is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Segmentation {
    /// The mask on the volume's own grid: 0 and the label of each class, 1 for a model of one foreground.
    pub mask: LabelVolume,
    /// The predictions of each class, in the order of the model's table.
    pub classes: Vec<ClassSegmentation>,
    /// Whether it is the mask of a two-dimensional image, whose grid has no millimetres.
    pub in_pixels: bool,
    /// Warnings about the volume and its mask, a sentence each: an image without contrast, an empty
    /// mask, a volume unlike those that the model was trained on.
    pub warnings: Vec<String>,
}

impl Segmentation {
    /// Volume of the mask, of all classes together, in millilitres; of a two-dimensional image, as if its pixels were cubes of 1 mm.
    pub fn volume_ml(&self) -> f64 {
        self.voxels() as f64 * self.mask.grid().voxel_mm3() / 1000.0
    }

    /// Size of the mask in what the volume or image is measured in.
    pub fn size(&self) -> MaskSize {
        self.size_of(self.voxels())
    }

    /// Confidence of the mask, 0 to 1: the Dice that is to be expected of its slices, weighted by their area;
    /// `None` where nothing was found, and of a model without a calibration
    /// ([`ConfidenceCalibration`](crate::model::ConfidenceCalibration)).
    ///
    /// It is calibrated on the training site: a model may be sure of the wrong organ. It is about the masks as
    /// the model draws them, before they are joined where classes overlap, brought to the volume's grid and
    /// post-processed: what [`PostprocessConfig`](desam_data::postprocess::PostprocessConfig) removes still
    /// counts.
    pub fn confidence(&self) -> Option<f64> {
        by_area(self.slices(), |slice| slice.confidence)
    }

    /// Agreement of grid points, 0 to 1, on each slice, weighted by the slice's area; `None` where no slice
    /// has one ([`PredictOptions::agreement`](crate::predict::PredictOptions::agreement)).
    pub fn agreement(&self) -> Option<f64> {
        by_area(self.slices(), |slice| slice.agreement)
    }

    /// The slices of all classes.
    fn slices(&self) -> impl Iterator<Item = &SlicePrediction> {
        self.classes.iter().flat_map(|class| &class.slices)
    }

    /// Size of a class of the mask.
    pub fn class_size(&self, class: &ClassSegmentation) -> MaskSize {
        self.size_of(self.mask.data().iter().filter(|v| **v == class.label).count())
    }

    fn size_of(&self, voxels: usize) -> MaskSize {
        if self.in_pixels {
            MaskSize::Area { area_px2: voxels }
        } else {
            let volume_ml = voxels as f64 * self.mask.grid().voxel_mm3() / 1000.0;
            MaskSize::Volume { volume_ml }
        }
    }

    fn voxels(&self) -> usize {
        self.mask.data().iter().filter(|v| **v > 0).count()
    }
}

/// Mean over the slices that have a value, weighted by the area of their masks.
pub fn by_area<'a>(
    slices: impl Iterator<Item = &'a SlicePrediction>,
    value: impl Fn(&SlicePrediction) -> Option<f32>,
) -> Option<f64> {
    let weighted = slices.filter_map(|slice| {
        let area = slice.mask.area() as f64;
        Some([f64::from(value(slice)?) * area, area])
    });
    let [sum, area] = weighted.fold([0.0, 0.0], |[a, b], [sum, area]| [a + sum, b + area]);
    (area > 0.0).then(|| sum / area)
}
