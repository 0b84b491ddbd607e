//! Grid points mode for ablated decoders: without a predicted IoU that ranks the points, or without
//! masks that depend on the point.
//!
//! The paper evaluates its ablations on the 9×9 grid (section 4.3) and does not say what replaces the
//! missing part. Here:
//!
//! - Where every point has the same mask, one is decoded. Its point is the one with the best predicted
//!   IoU, and there is no mask where that is not above the threshold, as in DeSAM; without a
//!   predicted IoU there always is one.
//! - Where masks differ and nothing predicts their IoU, the most stable one is chosen: SAM's own
//!   second measure of quality, the IoU of the mask at two thresholds, one to each side of logit 0.
//!   It is computed from the masks, so all of them are decoded. There is no threshold on it.
//!
//! The selection rule is then applied to this mask alone, as in whole box mode: small holes and
//! islands are removed.

use super::slice::{ClassPrediction, planes, rows};
use super::{SliceEvidence, SlicePrediction, SlicePredictor};
use crate::select::{MaskCandidate, SelectionConfig, prediction, select, stability};
use crate::{PromptingConfig, Result};
use desam_core::{BinaryMask, ImageContext, Point, Prompts};
use desam_prompt::grid_points;

/// Batch size: prompts encoded, and masks decoded, at once.
const BATCH: usize = 8;

/// The selected point with its logits.
struct ChosenPoint {
    point: Point,
    iou: f32,
    logits: Vec<f32>,
}

/// A slice, and the class that is predicted of it, by index from 0.
#[derive(Clone, Copy)]
struct ClassContext<'a> {
    context: &'a ImageContext,
    class: usize,
}

/// Result of ranking the points.
struct Ranking {
    chosen: Option<ChosenPoint>,
    /// Predicted IoU of all points, if the decoder predicts it.
    ious: Vec<f32>,
    drawn: usize,
}

impl SlicePredictor<'_> {
    /// Whether the decoder cannot rank points by their predicted IoU.
    pub(super) fn lacks_ranking(&self) -> bool {
        !self.decoder.predicts_iou() || !self.decoder.mask_follows_prompt()
    }

    /// Grid points mode for a decoder that cannot rank points, class by class.
    pub(super) fn without_ranking(
        &self,
        context: &ImageContext,
        prompting: &PromptingConfig,
    ) -> Result<Vec<ClassPrediction>> {
        let classes = 0..self.decoder.classes();
        classes.map(|class| self.class_without_ranking(context, prompting, class)).collect()
    }

    /// The mask of one class, by index from 0.
    fn class_without_ranking(
        &self,
        context: &ImageContext,
        prompting: &PromptingConfig,
        class: usize,
    ) -> Result<ClassPrediction> {
        let context = ClassContext { context, class };
        let points = grid_points(prompting.grid, self.spec.input_side as f32)?;
        let (predicts, follows) = (self.decoder.predicts_iou(), self.decoder.mask_follows_prompt());
        let Ranking { chosen, ious, drawn } = match (predicts, follows) {
            (true, _) => self.best_by_iou(context, &points, &prompting.selection)?,
            (false, true) => self.most_stable(context, &points, &prompting.selection)?,
            (false, false) => self.only_mask(context, &points)?,
        };
        let Some(ChosenPoint { point, iou, logits }) = chosen else {
            let side = self.spec.mask_side();
            let mask = BinaryMask::empty(side, side);
            let prediction = SlicePrediction::of_mask(mask);
            return Ok((prediction, SliceEvidence { ious, logits: Vec::new(), drawn }));
        };
        let geometry = self.geometry();
        let only = MaskCandidate { point, predicted_iou: iou, logits: &logits };
        let records = select(&[only], &geometry, &prompting.selection)?;
        let record = records.first();
        let prediction = SlicePrediction {
            predicted_iou: record.filter(|_| predicts).map(|r| r.predicted_iou),
            point: record.filter(|_| predicts || follows).map(|r| r.point),
            ..SlicePrediction::of_mask(prediction(&records, &geometry))
        };
        Ok((prediction, SliceEvidence { ious, logits, drawn }))
    }

    fn only_mask(&self, context: ClassContext<'_>, points: &[Point]) -> Result<Ranking> {
        let chosen = match points.first() {
            Some(&point) => Some(self.chosen(context, point, 1.0)?),
            None => None,
        };
        Ok(Ranking { drawn: chosen.iter().len(), chosen, ious: Vec::new() })
    }

    /// The first point with the best predicted IoU.
    fn best_by_iou(
        &self,
        context: ClassContext<'_>,
        points: &[Point],
        selection: &SelectionConfig,
    ) -> Result<Ranking> {
        let mut ious = Vec::with_capacity(points.len());
        for chunk in points.chunks(BATCH) {
            let embedding = self.embedded(&Prompts::points(chunk)?)?;
            let reading = self.decoder.encode_prompts(context.context, &embedding)?;
            let all = rows(&reading.iou_all)?;
            ious.extend(all.iter().filter_map(|ious| ious.get(context.class)));
        }
        let mut best: Option<(Point, f32)> = None;
        for (&point, &iou) in points.iter().zip(&ious) {
            if selection.keeps(iou) && best.is_none_or(|(_, best)| iou > best) {
                best = Some((point, iou));
            }
        }
        let chosen = match best {
            Some((point, iou)) => Some(self.chosen(context, point, iou)?),
            None => None,
        };
        Ok(Ranking { drawn: chosen.iter().len(), chosen, ious })
    }

    /// The first point whose mask is the most stable.
    fn most_stable(
        &self,
        context: ClassContext<'_>,
        points: &[Point],
        selection: &SelectionConfig,
    ) -> Result<Ranking> {
        let mut best: Option<(ChosenPoint, f32)> = None;
        for chunk in points.chunks(BATCH) {
            for (&point, logits) in chunk.iter().zip(self.logits(context, chunk)?) {
                let found = stability(&logits, selection.stability_offset);
                if best.as_ref().is_none_or(|(_, best)| found > *best) {
                    best = Some((ChosenPoint { point, iou: 1.0, logits }, found));
                }
            }
        }
        let chosen = best.map(|(chosen, _)| chosen);
        Ok(Ranking { chosen, ious: Vec::new(), drawn: points.len() })
    }

    fn chosen(&self, context: ClassContext<'_>, point: Point, iou: f32) -> Result<ChosenPoint> {
        let logits = self.logits(context, &[point])?.concat();
        Ok(ChosenPoint { point, iou, logits })
    }

    /// Mask logits of points, `M·M` numbers each.
    fn logits(&self, context: ClassContext<'_>, points: &[Point]) -> Result<Vec<Vec<f32>>> {
        let ClassContext { context, class } = context;
        let embedding = self.embedded(&Prompts::points(points)?)?;
        let reading = self.decoder.encode_prompts(context, &embedding)?;
        let all = planes(&self.decoder.decode_masks(context, &reading)?)?;
        let plane =
            |mut planes: Vec<Vec<f32>>| (class < planes.len()).then(|| planes.swap_remove(class));
        Ok(all.into_iter().filter_map(plane).collect())
    }
}

#[cfg(test)]
mod tests;
