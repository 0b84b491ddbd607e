//! Reference implementation of grid points mode, as in the official program: decode every mask that
//! may win, then apply the selection rule. [`super::grid`] is tested against it.

use super::slice::{ClassPrediction, planes, rows};
use super::{SliceEvidence, SlicePrediction, SlicePredictor};
use crate::select::{MaskCandidate, prediction, select};
use crate::{PromptingConfig, Result};
use desam_core::{ImageContext, Point};
use desam_prompt::grid_points;

/// Batch size, in prompts.
const BATCH: usize = 8;

/// A decoded mask.
struct DecodedMask {
    point: Point,
    iou: f32,
    logits: Vec<f32>,
}

impl SlicePredictor<'_> {
    pub(super) fn grid_points_plain(
        &self,
        context: &ImageContext,
        prompting: &PromptingConfig,
    ) -> Result<Vec<ClassPrediction>> {
        (0..self.decoder.classes())
            .map(|class| self.class_plain(context, prompting, class))
            .collect()
    }

    /// The mask of one class, by index from 0.
    fn class_plain(
        &self,
        context: &ImageContext,
        prompting: &PromptingConfig,
        class: usize,
    ) -> Result<ClassPrediction> {
        let points = grid_points(prompting.grid, self.spec.input_side as f32)?;
        let (mut ious, mut drawn) = (Vec::with_capacity(points.len()), Vec::new());
        for chunk in points.chunks(BATCH) {
            let reading = self.decoder.encode_prompts(context, &self.embed(chunk)?)?;
            let of_chunk = rows(&reading.iou_all)?;
            let of_chunk: Vec<f32> =
                of_chunk.iter().filter_map(|ious| ious.get(class)).copied().collect();
            let logits = planes(&self.decoder.decode_masks(context, &reading)?)?;
            let logits = logits
                .into_iter()
                .filter_map(|mut planes| (class < planes.len()).then(|| planes.swap_remove(class)));
            for ((&point, &iou), logits) in chunk.iter().zip(&of_chunk).zip(logits) {
                if prompting.selection.keeps(iou) {
                    drawn.push(DecodedMask { point, iou, logits });
                }
            }
            ious.extend(of_chunk);
        }
        let candidates: Vec<MaskCandidate<'_>> = drawn
            .iter()
            .map(|d| MaskCandidate { point: d.point, predicted_iou: d.iou, logits: &d.logits })
            .collect();
        let geometry = self.geometry();
        let records = select(&candidates, &geometry, &prompting.selection)?;
        let mask = prediction(&records, &geometry);
        let best = records.first();
        let taken = best.and_then(|r| drawn.get(r.candidate));
        let evidence = SliceEvidence {
            logits: taken.map(|d| d.logits.clone()).unwrap_or_default(),
            drawn: ious.len(),
            ious,
        };
        let predicted_iou = best.map(|r| r.predicted_iou);
        let point = best.map(|r| r.point);
        Ok((SlicePrediction { predicted_iou, point, ..SlicePrediction::of_mask(mask) }, evidence))
    }
}
