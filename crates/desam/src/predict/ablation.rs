//! Grid points mode of variants that lack what it rests on: a predicted IoU that ranks the points,
//! or masks that differ from point to point.
//!
//! The paper evaluates its ablations on the 9×9 grid (section 4.3) and does not say what takes the
//! place of the missing part. Here:
//!
//! - Where every point has the same mask, one is drawn. Its point is the one with the best predicted
//!   IoU, and there is no mask where that is not above the threshold, as in DeSAM; without a
//!   predicted IoU there always is one.
//! - Where masks differ and nothing predicts their IoU, the most stable one is taken: SAM's own
//!   second measure of quality, the IoU of the mask at two thresholds, one to each side of logit 0.
//!   It is asked of the masks themselves, so all have to be drawn. No mask is refused for it.
//!
//! The mask then goes through the rule alone, as the whole box's does: small holes and islands are
//! removed.

use super::slice::{numbers, rows};
use super::{SliceEvidence, SlicePrediction, SlicePredictor};
use crate::select::{Candidate, SelectionConfig, prediction, select, stability};
use crate::{Automatic, Result};
use desam_core::{BinaryMask, ImageContext, Point, Prompts};
use desam_prompt::grid_points;

/// Prompts read, and masks drawn, at once.
const AT_ONCE: usize = 8;

/// The point that a mask is taken from.
struct Taken {
    point: Point,
    iou: f32,
    logits: Vec<f32>,
}

/// What the points came to.
struct Found {
    taken: Option<Taken>,
    /// Predicted IoU of all points, where there is such a thing.
    ious: Vec<f32>,
    drawn: usize,
}

impl SlicePredictor<'_> {
    /// Whether grid points mode needs another rule for this decoder.
    pub(super) fn lacks_ranking(&self) -> bool {
        !self.decoder.predicts_iou() || !self.decoder.mask_follows_prompt()
    }

    /// The prediction of such a decoder.
    pub(super) fn without_ranking(
        &self,
        context: &ImageContext,
        automatic: &Automatic,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        let points = grid_points(automatic.grid, self.spec.input_side as f32)?;
        let (predicts, follows) = (self.decoder.predicts_iou(), self.decoder.mask_follows_prompt());
        let Found { taken, ious, drawn } = match (predicts, follows) {
            (true, _) => self.best_by_iou(context, &points, &automatic.selection)?,
            (false, true) => self.most_stable(context, &points, &automatic.selection)?,
            (false, false) => self.first(context, &points)?,
        };
        let Some(Taken { point, iou, logits }) = taken else {
            let side = self.spec.mask_side();
            let mask = BinaryMask::empty(side, side);
            let prediction = SlicePrediction { mask, predicted_iou: None, point: None };
            return Ok((prediction, SliceEvidence { ious, logits: Vec::new(), drawn }));
        };
        let geometry = self.geometry();
        let only = Candidate { point, predicted_iou: iou, logits: &logits };
        let records = select(&[only], &geometry, &automatic.selection)?;
        let record = records.first();
        let prediction = SlicePrediction {
            mask: prediction(&records, &geometry),
            predicted_iou: record.filter(|_| predicts).map(|r| r.predicted_iou),
            point: record.filter(|_| predicts || follows).map(|r| r.point),
        };
        Ok((prediction, SliceEvidence { ious, logits, drawn }))
    }

    fn first(&self, context: &ImageContext, points: &[Point]) -> Result<Found> {
        let taken = match points.first() {
            Some(&point) => Some(self.taken(context, point, 1.0)?),
            None => None,
        };
        Ok(Found { drawn: taken.iter().len(), taken, ious: Vec::new() })
    }

    /// The first point with the best predicted IoU.
    fn best_by_iou(
        &self,
        context: &ImageContext,
        points: &[Point],
        selection: &SelectionConfig,
    ) -> Result<Found> {
        let mut ious = Vec::with_capacity(points.len());
        for chunk in points.chunks(AT_ONCE) {
            let embedding = self.embedded(&Prompts::points(chunk)?)?;
            ious.extend(numbers(&self.decoder.encode_prompts(context, &embedding)?.iou()?)?);
        }
        let mut best: Option<(Point, f32)> = None;
        for (&point, &iou) in points.iter().zip(&ious) {
            if selection.keeps(iou) && best.is_none_or(|(_, best)| iou > best) {
                best = Some((point, iou));
            }
        }
        let taken = match best {
            Some((point, iou)) => Some(self.taken(context, point, iou)?),
            None => None,
        };
        Ok(Found { drawn: taken.iter().len(), taken, ious })
    }

    /// The first point whose mask is the most stable.
    fn most_stable(
        &self,
        context: &ImageContext,
        points: &[Point],
        selection: &SelectionConfig,
    ) -> Result<Found> {
        let mut best: Option<(Taken, f32)> = None;
        for chunk in points.chunks(AT_ONCE) {
            for (&point, logits) in chunk.iter().zip(self.logits(context, chunk)?) {
                let found = stability(&logits, selection.stability_offset);
                if best.as_ref().is_none_or(|(_, best)| found > *best) {
                    best = Some((Taken { point, iou: 1.0, logits }, found));
                }
            }
        }
        let taken = best.map(|(taken, _)| taken);
        Ok(Found { taken, ious: Vec::new(), drawn: points.len() })
    }

    fn taken(&self, context: &ImageContext, point: Point, iou: f32) -> Result<Taken> {
        let logits = self.logits(context, &[point])?.concat();
        Ok(Taken { point, iou, logits })
    }

    /// The mask logits of some points, `M·M` numbers each.
    fn logits(&self, context: &ImageContext, points: &[Point]) -> Result<Vec<Vec<f32>>> {
        let embedding = self.embedded(&Prompts::points(points)?)?;
        let reading = self.decoder.encode_prompts(context, &embedding)?;
        Ok(rows(&self.decoder.decode_masks(context, &reading)?)?)
    }
}

#[cfg(test)]
mod tests;
