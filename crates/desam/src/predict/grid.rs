//! Grid points mode: predicted IoU of all points first, then as few masks as the selection rule
//! needs.

use super::agreement::agreement;
use super::masks::{BatchSizes, LazyMasks};
use super::slice::{ClassPrediction, rows};
use super::{SliceEvidence, SlicePrediction, SlicePredictor};
use crate::select::{ScoredPoint, Selected, decoding_order, select_first};
use crate::{PromptingConfig, Result};
use candle_core::Tensor;
use desam_core::{BinaryMask, Error, ImageContext, Point, PromptEmbedding, Prompts};
use desam_nn::gpu::on_accelerator;
use desam_prompt::grid_points;

impl SlicePredictor<'_> {
    pub(super) fn grid_points(
        &self,
        context: &ImageContext,
        prompting: &PromptingConfig,
    ) -> Result<Vec<ClassPrediction>> {
        let sizes = BatchSizes::new(on_accelerator(&context.embedding));
        let points = grid_points(prompting.grid, self.spec.input_side as f32)?;
        let mut reader = self.decoder.reader(context)?;
        let (mut ious, mut kept) = (Vec::new(), None);
        if points.len() <= sizes.kept {
            let reading = reader.encode_prompts(&self.embed(&points)?)?;
            ious.push(reading.iou_all.clone());
            kept = Some(reading);
        } else {
            for chunk in points.chunks(sizes.read_at_once) {
                ious.push(reader.predict_ious(&self.embed(chunk)?)?);
            }
        }
        // One transfer for all points: fetching results synchronises with a GPU, queueing work does
        // not.
        let ious = rows(&Tensor::cat(&ious, 0)?)?;
        let mut masks = LazyMasks {
            predictor: self,
            context,
            points: &points,
            reader: &mut *reader,
            kept,
            order: Vec::new(),
            at_once: 1,
            most_at_once: sizes.drawn_at_once,
            class: 0,
            drawn: Default::default(),
        };
        let of_class = |class: usize| {
            let ious: Vec<f32> = ious.iter().filter_map(|ious| ious.get(class)).copied().collect();
            self.best_point(&points, ious, &mut masks, class, prompting)
        };
        (0..self.decoder.classes()).map(of_class).collect()
    }

    /// The mask of one class, by index from 0: that of the point which the rule selects by the class's
    /// predicted IoUs.
    fn best_point(
        &self,
        points: &[Point],
        ious: Vec<f32>,
        masks: &mut LazyMasks<'_>,
        class: usize,
        prompting: &PromptingConfig,
    ) -> Result<ClassPrediction> {
        let scored: Vec<ScoredPoint> = points
            .iter()
            .zip(&ious)
            .map(|(&point, &predicted_iou)| ScoredPoint { point, predicted_iou })
            .collect();
        let order = decoding_order(&scored, &prompting.selection);
        masks.begin_class(class, order.clone());
        let mut draw = |i: usize| masks.logits(i);
        let geometry = self.geometry();
        let selected = select_first(&scored, &mut draw, &geometry, &prompting.selection)?;
        Ok(match selected {
            Some(Selected { selected, logits, drawn }) => {
                let others = order.into_iter().filter(|point| *point != selected.candidate);
                let others: Vec<usize> = others.take(self.compared_points).collect();
                let prediction = SlicePrediction {
                    agreement: agreement(&selected.mask, &others, &mut draw)?,
                    predicted_iou: Some(selected.predicted_iou),
                    point: Some(selected.point),
                    ..SlicePrediction::of_mask(selected.mask)
                };
                (prediction, SliceEvidence { ious, logits, drawn })
            }
            None => {
                let mask = BinaryMask::empty(geometry.image_height, geometry.image_width);
                let prediction = SlicePrediction::of_mask(mask);
                (prediction, SliceEvidence { ious, logits: Vec::new(), drawn: 0 })
            }
        })
    }

    pub(super) fn embed(&self, points: &[Point]) -> Result<PromptEmbedding, Error> {
        Ok(self.embedded(&Prompts::points(points)?)?)
    }
}
