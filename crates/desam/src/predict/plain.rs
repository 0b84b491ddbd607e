//! Grid points mode as the official program does it: every mask that may win, then the rule. The
//! reference for [`super::grid`].

use super::slice::{numbers, rows};
use super::{SliceEvidence, SlicePrediction, SlicePredictor};
use crate::select::{Candidate, prediction, select};
use crate::{Automatic, Result};
use desam_core::{ImageContext, Point};
use desam_prompt::grid_points;

/// Prompts read and drawn at once.
const AT_ONCE: usize = 8;

/// A prompt's mask.
struct Drawn {
    point: Point,
    iou: f32,
    logits: Vec<f32>,
}

impl SlicePredictor<'_> {
    pub(super) fn grid_points_plain(
        &self,
        context: &ImageContext,
        automatic: &Automatic,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        let points = grid_points(automatic.grid, self.spec.input_side as f32)?;
        let (mut ious, mut drawn) = (Vec::with_capacity(points.len()), Vec::new());
        for chunk in points.chunks(AT_ONCE) {
            let reading = self.decoder.encode_prompts(context, &self.embed(chunk)?)?;
            let of_chunk = numbers(&reading.iou()?)?;
            let logits = rows(&self.decoder.decode_masks(context, &reading)?)?;
            for ((&point, &iou), logits) in chunk.iter().zip(&of_chunk).zip(logits) {
                if automatic.selection.keeps(iou) {
                    drawn.push(Drawn { point, iou, logits });
                }
            }
            ious.extend(of_chunk);
        }
        let candidates: Vec<Candidate<'_>> = drawn
            .iter()
            .map(|d| Candidate { point: d.point, predicted_iou: d.iou, logits: &d.logits })
            .collect();
        let geometry = self.geometry();
        let records = select(&candidates, &geometry, &automatic.selection)?;
        let mask = prediction(&records, &geometry);
        let best = records.first();
        let taken = best.and_then(|r| drawn.get(r.candidate));
        let evidence = SliceEvidence {
            logits: taken.map(|d| d.logits.clone()).unwrap_or_default(),
            drawn: ious.len(),
            ious,
        };
        let predicted_iou = best.map(|r| r.predicted_iou);
        Ok((SlicePrediction { mask, predicted_iou, point: best.map(|r| r.point) }, evidence))
    }
}
