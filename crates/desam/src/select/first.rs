//! The first record of [`select`](super::select) alone, from as few masks as it takes.

use super::boxes::{best_first, clashes};
use super::resize::MaskResizer;
use super::{Candidate, Drawn, Geometry, Record, SelectionConfig, checked};
use desam_core::{Point, PromptBox};

/// A point of the grid before its mask is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prospect {
    /// The point, in pixels of the encoder's input.
    pub point: Point,
    /// What PRIM expects of it.
    pub predicted_iou: f32,
}

/// The mask that the rule takes.
#[derive(Debug, Clone, PartialEq)]
pub struct First {
    /// As the first record of [`select`](super::select).
    pub record: Record,
    /// The logits it was drawn from, `M × M`.
    pub logits: Vec<f32>,
    /// Masks that were drawn to find it.
    pub drawn: usize,
}

/// What [`select`](super::select) would put first if it were given all masks, found while drawing
/// them one by one in the order in which the rule meets them; `None` where it would take none.
/// `draw` gives the logits of a prospect by its index.
///
/// The rule's second suppression begins with the best mask that survived the first and needed no
/// repair; without one, with the best that survived. What begins is suppressed by nothing. So
/// masks are met from the best predicted IoU down, those that the first suppression drops are
/// skipped (they suppress no other), and the first that needs no repair ends the search. At most
/// two masks are held at a time.
///
/// # Errors
/// When the configuration or the geometry makes no sense, `draw` fails, or logits are not `M × M`.
pub fn select_first(
    prospects: &[Prospect],
    draw: &mut dyn FnMut(usize) -> desam_core::Result<Vec<f32>>,
    geometry: &Geometry,
    config: &SelectionConfig,
) -> desam_core::Result<Option<First>> {
    checked(geometry, config)?;
    let resizer = MaskResizer::new(geometry);
    let mut survivors: Vec<PromptBox> = Vec::new();
    let (mut best, mut drawn) = (None, 0);
    for index in drawing_order(prospects, config) {
        let logits = draw(index)?;
        drawn += 1;
        let Prospect { point, predicted_iou } = prospects[index];
        let candidate = Candidate { point, predicted_iou, logits: &logits };
        candidate.checked(index, geometry)?;
        let image = resizer.resize(&logits);
        let mask = Drawn::new(index, &candidate, &image, (geometry, config))?;
        if survivors.iter().any(|better| clashes(better, &mask.bbox, config.nms_threshold)) {
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
    Ok(best.map(|(mask, logits)| First { record: mask.record(), logits, drawn }))
}

/// The prospects that are worth a mask, by index, in the order in which [`select_first`] asks for
/// theirs: for who draws ahead of it.
pub(crate) fn drawing_order(prospects: &[Prospect], config: &SelectionConfig) -> Vec<usize> {
    let ious: Vec<f32> = prospects.iter().map(|p| p.predicted_iou).collect();
    let worthy = config.worth_drawing(&ious);
    let scores: Vec<f32> = worthy.iter().map(|&i| ious[i]).collect();
    best_first(&scores).into_iter().map(|i| worthy[i]).collect()
}

#[cfg(test)]
mod tests;
