//! Grid points mode: predicted IoU first, then as few masks as the rule needs.

use super::masks::{Masks, Memory};
use super::slice::numbers;
use super::{SliceEvidence, SlicePrediction, SlicePredictor};
use crate::select::{First, Prospect, drawing_order, select_first};
use crate::{Automatic, Result};
use candle_core::Tensor;
use desam_core::{BinaryMask, Error, ImageContext, Point, PromptEmbedding, Prompts};
use desam_nn::gpu::on_accelerator;
use desam_prompt::grid_points;

impl SlicePredictor<'_> {
    pub(super) fn grid_points(
        &self,
        context: &ImageContext,
        automatic: &Automatic,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        let memory = Memory::of(on_accelerator(&context.embedding));
        let points = grid_points(automatic.grid, self.spec.input_side as f32)?;
        let mut reader = self.decoder.reader(context)?;
        let (mut found, mut kept) = (Vec::new(), None);
        if points.len() <= memory.kept {
            let reading = reader.encode_prompts(&self.embed(&points)?)?;
            found.push(reading.iou()?);
            kept = Some(reading);
        } else {
            for chunk in points.chunks(memory.read_at_once) {
                found.push(reader.predict_iou(&self.embed(chunk)?)?);
            }
        }
        // All at once: a GPU is waited for when numbers are fetched, not when work is given.
        let ious = numbers(&Tensor::cat(&found, 0)?)?;
        let prospects: Vec<Prospect> = points
            .iter()
            .zip(&ious)
            .map(|(&point, &predicted_iou)| Prospect { point, predicted_iou })
            .collect();
        let mut masks = Masks {
            predictor: self,
            context,
            points: &points,
            reader: &mut *reader,
            kept,
            order: drawing_order(&prospects, &automatic.selection),
            at_once: 1,
            most_at_once: memory.drawn_at_once,
            drawn: Default::default(),
        };
        let mut draw = |i: usize| masks.logits(i);
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
        Ok(self.embedded(&Prompts::points(points)?)?)
    }
}
