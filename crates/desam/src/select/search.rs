//! Lazy mask selection: the first mask of [`select`](super::select), decoding as few masks as
//! possible.

use super::nms::{best_first, overlaps};
use super::resize::MaskResizer;
use super::{Geometry, MaskCandidate, ResizedMask, SelectedMask, SelectionConfig, checked};
use desam_core::{Point, PromptBox};

/// A grid point with its predicted IoU, before its mask is decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredPoint {
    /// The point, in pixels of the encoder's input.
    pub point: Point,
    /// Predicted IoU, without a sigmoid.
    pub predicted_iou: f32,
}

/// The mask that the rule selects, and its logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// As the first of [`select`](super::select).
    pub selected: SelectedMask,
    /// Its logits, `M × M`.
    pub logits: Vec<f32>,
    /// Number of masks decoded to find it.
    pub drawn: usize,
}

/// Finds the mask that [`select`](super::select) would put first, decoding masks one by one in order
/// of falling predicted IoU; `None` if it would select none. `decode` returns the logits of a point by
/// its index.
///
/// The second NMS begins with the best mask that survived the first and needed no repair; without
/// one, with the best that survived. The mask it begins with is always kept. So masks are decoded
/// from the best predicted IoU down, those that the first NMS drops are skipped (they suppress no
/// other), and the first that needs no repair ends the search. At most two masks are held at a time.
///
/// # Errors
/// When a setting or the geometry is out of range, `decode` fails, or logits are not `M × M`.
pub fn select_first(
    points: &[ScoredPoint],
    decode: &mut dyn FnMut(usize) -> desam_core::Result<Vec<f32>>,
    geometry: &Geometry,
    config: &SelectionConfig,
) -> desam_core::Result<Option<Selected>> {
    checked(geometry, config)?;
    let resizer = MaskResizer::new(geometry);
    let mut survivors: Vec<PromptBox> = Vec::new();
    let (mut best, mut drawn) = (None, 0);
    for index in decoding_order(points, config) {
        let logits = decode(index)?;
        drawn += 1;
        let ScoredPoint { point, predicted_iou } = points[index];
        let candidate = MaskCandidate { point, predicted_iou, logits: &logits };
        candidate.checked(index, geometry)?;
        let image = resizer.resize(&logits);
        let mask = ResizedMask::new(index, &candidate, &image, geometry, config)?;
        if survivors.iter().any(|better| overlaps(better, &mask.bbox, config.nms_threshold)) {
            continue;
        }
        survivors.push(mask.bbox);
        let mask = match config.min_region_px {
            0 => mask,
            least => mask.repaired(least)?,
        };
        let unchanged = !mask.changed;
        if unchanged || best.is_none() {
            best = Some((mask, logits));
        }
        if unchanged {
            break;
        }
    }
    Ok(best.map(|(mask, logits)| Selected { selected: mask.into_selected(), logits, drawn }))
}

/// Indices of the points above the IoU threshold, in the order in which [`select_first`] asks for
/// their masks: for decoding ahead of it.
pub(crate) fn decoding_order(points: &[ScoredPoint], config: &SelectionConfig) -> Vec<usize> {
    let ious: Vec<f32> = points.iter().map(|p| p.predicted_iou).collect();
    let worthy = config.above_threshold(&ious);
    let scores: Vec<f32> = worthy.iter().map(|&i| ious[i]).collect();
    best_first(&scores).into_iter().map(|i| worthy[i]).collect()
}

#[cfg(test)]
mod tests;
