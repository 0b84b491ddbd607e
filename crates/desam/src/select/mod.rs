//! The selection rule of grid points mode: from a mask for each point of the grid to the one that
//! is the prediction.
//!
//! It is the official program's, a variant of SAM's automatic mask generator: keep what PRIM
//! expects an IoU above a threshold of, bring the logits to the image's grid, draw the line at
//! logit 0, suppress boxes that overlap a better one, remove small holes and islands, and
//! suppress once more, preferring masks that needed no repair. The first mask left is the
//! prediction.
//!
//! The second suppression orders masks by whether they needed repair, and only within that by
//! predicted IoU: an unrepaired mask comes before a repaired one that PRIM preferred.
//!
//! [`select`] is the rule as it is written, on all masks at once; [`select_first`] finds the
//! prediction alone, drawing no mask that cannot become it.

mod boxes;
mod config;
mod error;
mod first;
mod geometry;
mod record;
mod regions;
mod resize;

pub use config::SelectionConfig;
pub use error::SelectError;
pub(crate) use first::drawing_order;
pub use first::{First, Prospect, select_first};
pub use geometry::Geometry;
pub use record::{Candidate, Record};

use boxes::{box_of, suppress, xywh};
use desam_core::{BinaryMask, PromptBox};
use rayon::prelude::*;
use regions::{Cleaned, clean};
use resize::MaskResizer;

/// The candidates that survive, in the official order: the first is the prediction, none means an
/// empty one. Candidates are given in the grid's order, which decides between equal scores; those
/// that [`SelectionConfig::keeps`] refuses may be left out beforehand.
///
/// The result is the same for any number of threads.
///
/// # Errors
/// When the configuration or the geometry makes no sense, or a candidate's logits are not
/// `M × M`.
pub fn select(
    candidates: &[Candidate<'_>],
    geometry: &Geometry,
    config: &SelectionConfig,
) -> desam_core::Result<Vec<Record>> {
    checked(geometry, config)?;
    candidates.iter().enumerate().try_for_each(|(i, c)| c.checked(i, geometry))?;

    let resizer = MaskResizer::new(geometry);
    let drawn: Vec<Drawn> = candidates
        .par_iter()
        .enumerate()
        .filter(|(_, c)| config.keeps(c.predicted_iou))
        .map(|(i, c)| Drawn::new(i, c, &resizer.resize(c.logits), (geometry, config)))
        .collect::<desam_core::Result<_>>()?;
    let scores: Vec<f32> = drawn.iter().map(|d| d.predicted_iou).collect();
    let drawn = suppressed(drawn, &scores, config);

    let selected = if config.min_region_px > 0 {
        let repaired: Vec<Drawn> = drawn
            .into_par_iter()
            .map(|d| d.repaired(config.min_region_px))
            .collect::<desam_core::Result<_>>()?;
        let scores: Vec<f32> = repaired.iter().map(|d| f32::from(u8::from(!d.changed))).collect();
        suppressed(repaired, &scores, config)
    } else {
        drawn
    };
    Ok(selected.into_iter().map(Drawn::record).collect())
}

fn checked(geometry: &Geometry, config: &SelectionConfig) -> desam_core::Result<()> {
    config.validate().map_err(desam_core::Error::external)?;
    geometry.validate().map_err(desam_core::Error::external)
}

impl Candidate<'_> {
    /// Refuses logits that are not `M × M`.
    fn checked(&self, candidate: usize, geometry: &Geometry) -> desam_core::Result<()> {
        let (expected, found) = (geometry.mask_side * geometry.mask_side, self.logits.len());
        match expected == found {
            true => Ok(()),
            false => {
                let error = SelectError::Logits { candidate, expected, found };
                Err(desam_core::Error::external(error))
            }
        }
    }
}

/// The prediction: the first record's mask, an empty one of the image's size if there is none.
pub fn prediction(records: &[Record], geometry: &Geometry) -> BinaryMask {
    match records.first() {
        Some(record) => record.mask.clone(),
        None => BinaryMask::empty(geometry.image_height, geometry.image_width),
    }
}

/// A candidate on the image's grid.
#[derive(Debug)]
struct Drawn {
    candidate: usize,
    point: [f64; 2],
    predicted_iou: f32,
    stability: f32,
    bbox: PromptBox,
    mask: BinaryMask,
    changed: bool,
}

impl Drawn {
    fn new(
        candidate: usize,
        given: &Candidate<'_>,
        image: &[f32],
        (geometry, config): (&Geometry, &SelectionConfig),
    ) -> desam_core::Result<Self> {
        let (height, width) = (geometry.image_height, geometry.image_width);
        // The official program asks for a sigmoid above 0.5: the same but for logits within
        // 1.2e-7 above 0, where its f32 sigmoid rounds to a half.
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
            bbox: box_of(&mask),
            mask,
            changed: false,
        })
    }

    fn repaired(self, least: usize) -> desam_core::Result<Self> {
        let Cleaned { mask, changed } = clean(self.mask, least)?;
        Ok(Self { bbox: box_of(&mask), mask, changed, ..self })
    }

    fn record(self) -> Record {
        Record {
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

/// What suppression leaves of `drawn`, best first.
fn suppressed(drawn: Vec<Drawn>, scores: &[f32], config: &SelectionConfig) -> Vec<Drawn> {
    let boxes: Vec<PromptBox> = drawn.iter().map(|d| d.bbox).collect();
    let mut drawn: Vec<Option<Drawn>> = drawn.into_iter().map(Some).collect();
    suppress(&boxes, scores, config.nms_threshold)
        .into_iter()
        .filter_map(|i| drawn.get_mut(i).and_then(Option::take))
        .collect()
}

/// IoU of the logits thresholded at `offset` and at `−offset`; the first lies within the second.
pub(crate) fn stability(logits: &[f32], offset: f32) -> f32 {
    let above = |threshold: f32| logits.iter().filter(|&&v| v > threshold).count();
    match above(-offset) {
        0 => 0.0,
        union => above(offset) as f32 / union as f32,
    }
}

#[cfg(test)]
mod tests;
