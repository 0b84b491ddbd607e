//! Mask selection of grid points mode: one mask out of those of all grid points, by predicted IoU,
//! non-maximum suppression (NMS) of bounding boxes, and removal of small regions.
//!
//! The rule is the official program's, a variant of SAM's automatic mask generator: keep masks whose
//! predicted IoU is above a threshold, resize their logits to the image's grid, threshold them at 0,
//! apply NMS, remove small holes and islands, and apply NMS once more, preferring masks that needed
//! no repair. The first mask left is the prediction.
//!
//! The second NMS orders masks by whether they needed repair, and only within that by
//! predicted IoU: an unrepaired mask comes before a repaired one that PRIM preferred.
//!
//! [`select`] applies the rule to all masks at once; [`select_first`] finds the prediction alone and
//! decodes no mask that cannot become it.

mod candidate;
mod config;
mod error;
mod geometry;
mod nms;
mod resize;
mod search;
mod small_regions;

pub use candidate::{MaskCandidate, SelectedMask};
pub use config::SelectionConfig;
pub use error::SelectError;
pub use geometry::Geometry;
pub(crate) use search::decoding_order;
pub use search::{ScoredPoint, Selected, select_first};

use desam_core::{BinaryMask, PromptBox};
use nms::{bounding_box, nms, xywh};
use rayon::prelude::*;
use resize::MaskResizer;
use small_regions::{Cleaned, clean};

/// Selects masks, in the official order: the first is the prediction; without any, the prediction is
/// empty. Candidates come in the grid's order, which decides between equal scores; those
/// that [`SelectionConfig::keeps`] refuses may be left out beforehand.
///
/// The result is the same for any number of threads.
///
/// # Errors
/// When a setting or the geometry is out of range, or a candidate's logits are not `M × M`.
pub fn select(
    candidates: &[MaskCandidate<'_>],
    geometry: &Geometry,
    config: &SelectionConfig,
) -> desam_core::Result<Vec<SelectedMask>> {
    checked(geometry, config)?;
    candidates.iter().enumerate().try_for_each(|(i, c)| c.checked(i, geometry))?;

    let resizer = MaskResizer::new(geometry);
    let drawn: Vec<ResizedMask> = candidates
        .par_iter()
        .enumerate()
        .filter(|(_, c)| config.keeps(c.predicted_iou))
        .map(|(i, c)| ResizedMask::new(i, c, &resizer.resize(c.logits), geometry, config))
        .collect::<desam_core::Result<_>>()?;
    let scores: Vec<f32> = drawn.iter().map(|d| d.predicted_iou).collect();
    let drawn = non_maximum_suppression(drawn, &scores, config);

    let selected = if config.min_region_px > 0 {
        let repaired: Vec<ResizedMask> = drawn
            .into_par_iter()
            .map(|d| d.repaired(config.min_region_px))
            .collect::<desam_core::Result<_>>()?;
        let scores: Vec<f32> = repaired.iter().map(|d| f32::from(u8::from(!d.changed))).collect();
        non_maximum_suppression(repaired, &scores, config)
    } else {
        drawn
    };
    Ok(selected.into_iter().map(ResizedMask::into_selected).collect())
}

fn checked(geometry: &Geometry, config: &SelectionConfig) -> desam_core::Result<()> {
    config.validate().map_err(desam_core::Error::external)?;
    geometry.validate().map_err(desam_core::Error::external)
}

impl MaskCandidate<'_> {
    /// Refuses logits that are not `M × M`.
    fn checked(&self, candidate: usize, geometry: &Geometry) -> desam_core::Result<()> {
        let (expected, found) = (geometry.mask_side * geometry.mask_side, self.logits.len());
        if expected == found {
            return Ok(());
        }
        Err(desam_core::Error::external(SelectError::Logits { candidate, expected, found }))
    }
}

/// The prediction: the first mask, or an empty one of the image's size.
pub fn prediction(records: &[SelectedMask], geometry: &Geometry) -> BinaryMask {
    match records.first() {
        Some(record) => record.mask.clone(),
        None => BinaryMask::empty(geometry.image_height, geometry.image_width),
    }
}

/// A candidate resized to the image's grid and thresholded.
#[derive(Debug)]
struct ResizedMask {
    candidate: usize,
    point: [f64; 2],
    predicted_iou: f32,
    stability: f32,
    bbox: PromptBox,
    mask: BinaryMask,
    changed: bool,
}

impl ResizedMask {
    fn new(
        candidate: usize,
        given: &MaskCandidate<'_>,
        image: &[f32],
        geometry: &Geometry,
        config: &SelectionConfig,
    ) -> desam_core::Result<Self> {
        let (height, width) = (geometry.image_height, geometry.image_width);
        // The official program thresholds a sigmoid at 0.5: the same, except for logits within
        // 1.2e-7 above 0, where its f32 sigmoid rounds to one half.
        let pixels = image.iter().map(|&v| u8::from(v > 0.0)).collect();
        let mask = BinaryMask::new(height, width, pixels)?;
        let (rows, columns) = geometry.covered();
        let scaled =
            |at: f32, image: usize, input: usize| f64::from(at) * image as f64 / input as f64;
        Ok(Self {
            candidate,
            point: [scaled(given.point.x, width, columns), scaled(given.point.y, height, rows)],
            predicted_iou: given.predicted_iou,
            stability: stability(image, config.stability_offset),
            bbox: bounding_box(&mask),
            mask,
            changed: false,
        })
    }

    fn repaired(self, least: usize) -> desam_core::Result<Self> {
        let Cleaned { mask, changed } = clean(self.mask, least)?;
        Ok(Self { bbox: bounding_box(&mask), mask, changed, ..self })
    }

    fn into_selected(self) -> SelectedMask {
        SelectedMask {
            candidate: self.candidate,
            point: self.point,
            predicted_iou: self.predicted_iou,
            stability: self.stability,
            bbox_xywh: xywh(self.bbox),
            area: self.mask.area(),
            mask: self.mask,
        }
    }
}

/// Masks that NMS keeps, best first.
fn non_maximum_suppression(
    drawn: Vec<ResizedMask>,
    scores: &[f32],
    config: &SelectionConfig,
) -> Vec<ResizedMask> {
    let boxes: Vec<PromptBox> = drawn.iter().map(|d| d.bbox).collect();
    let mut drawn: Vec<Option<ResizedMask>> = drawn.into_iter().map(Some).collect();
    nms(&boxes, scores, config.nms_threshold)
        .into_iter()
        .filter_map(|i| drawn.get_mut(i).and_then(Option::take))
        .collect()
}

/// Stability score: IoU of the masks at thresholds `offset` and `−offset`, the first of which lies
/// within the second.
pub(crate) fn stability(logits: &[f32], offset: f32) -> f32 {
    let above = |threshold: f32| logits.iter().filter(|&&v| v > threshold).count();
    match above(-offset) {
        0 => 0.0,
        union => above(offset) as f32 / union as f32,
    }
}

#[cfg(test)]
mod tests;
