//! Grid points mode: predicted IoU first, then as few masks as the rule needs.

use super::{SliceEvidence, SlicePrediction, SlicePredictor};
use crate::select::{First, Prospect, select_first};
use crate::{Automatic, Result};
use desam_core::{BinaryMask, Error, ImageContext, Point, PromptEmbedding, PromptReader, Prompts};
use desam_prompt::grid_points;

/// Prompts embedded at once. Their number bounds the memory, so it does not grow with the grid.
const READ_AT_ONCE: usize = 32;

impl SlicePredictor<'_> {
    pub(super) fn grid_points(
        &self,
        context: &ImageContext,
        automatic: &Automatic,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        let points = grid_points(automatic.grid, self.spec.input_side as f32)?;
        let mut reader = self.decoder.reader(context)?;
        let mut ious = Vec::with_capacity(points.len());
        for chunk in points.chunks(READ_AT_ONCE) {
            let iou = reader.iou(&self.embed(chunk)?)?;
            ious.extend(iou.flatten_all()?.to_vec1::<f32>()?);
        }
        let prospects: Vec<Prospect> = points
            .iter()
            .zip(&ious)
            .map(|(&point, &predicted_iou)| Prospect { point, predicted_iou })
            .collect();
        // What drawing needs of a prompt is large, and few are drawn: those are read once more.
        let mut draw = |i: usize| self.draw(context, &mut *reader, prospects[i].point);
        let geometry = self.geometry();
        let first = select_first(&prospects, &mut draw, &geometry, &automatic.selection)?;
        Ok(match first {
            Some(First { record, logits, drawn }) => {
                let prediction = SlicePrediction {
                    mask: record.mask,
                    predicted_iou: Some(record.predicted_iou),
                    point: Some(record.point),
                };
                (prediction, SliceEvidence { ious, logits, drawn })
            }
            None => {
                let mask = BinaryMask::empty(geometry.image_height, geometry.image_width);
                let prediction = SlicePrediction { mask, predicted_iou: None, point: None };
                (prediction, SliceEvidence { ious, logits: Vec::new(), drawn: 0 })
            }
        })
    }

    pub(super) fn embed(&self, points: &[Point]) -> Result<PromptEmbedding, Error> {
        Ok(self.prompt.encode(&Prompts::points(points)?)?)
    }

    /// The logits of one point's mask.
    fn draw(
        &self,
        context: &ImageContext,
        reader: &mut dyn PromptReader,
        point: Point,
    ) -> Result<Vec<f32>, Error> {
        let reading = reader.read(&self.embed(&[point])?)?;
        Ok(self.decoder.draw(context, &reading)?.flatten_all()?.to_vec1::<f32>()?)
    }
}
