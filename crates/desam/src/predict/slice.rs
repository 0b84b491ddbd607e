//! From one slice's features to one mask.

use crate::select::{Candidate, Geometry, Record, prediction, select};
use crate::{Automatic, Error, Mode, Result};
use candle_core::Tensor;
use desam_core::{
    BinaryMask, EncoderSpec, ImageContext, ImageFeatures, MaskDecoder, Point, PromptEncoder,
    PromptReading, Prompts,
};
use desam_prompt::{grid_points, whole_box};

/// Prompts read at once. Their number bounds the memory, so it does not grow with the grid.
const READ_AT_ONCE: usize = 32;

/// Masks drawn at once.
const DRAW_AT_ONCE: usize = 8;

/// Predicts one slice at a time.
#[derive(Clone, Copy)]
pub struct SlicePredictor<'a> {
    prompt: &'a dyn PromptEncoder,
    decoder: &'a dyn MaskDecoder,
    spec: &'a EncoderSpec,
}

impl std::fmt::Debug for SlicePredictor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlicePredictor").field("spec", self.spec).finish_non_exhaustive()
    }
}

/// One slice's mask.
#[derive(Debug, Clone, PartialEq)]
pub struct SlicePrediction {
    /// `M×M`; empty where no point was worth a mask.
    pub mask: BinaryMask,
    /// The IoU that PRIM predicts for it, with no sigmoid; `None` for an empty mask of grid points
    /// mode.
    pub predicted_iou: Option<f32>,
    /// The point that gave it, (column, row) in mask pixels; `None` in whole box mode.
    pub point: Option<[f64; 2]>,
}

/// What a prediction rests on: for maps of what the model expects of each point, and for
/// probabilities in place of a mask.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceEvidence {
    /// The IoU that PRIM predicts for each point of the grid, with no sigmoid, row by row:
    /// `N·N` numbers. One number in whole box mode.
    pub ious: Vec<f32>,
    /// Logits of the mask that was taken, `M·M` row by row, as they were drawn: before small
    /// regions were removed from the mask. Empty where no point was worth a mask.
    pub logits: Vec<f32>,
}

/// A prompt whose mask may be worth drawing.
struct Read {
    point: Point,
    iou: f32,
    reading: PromptReading,
}

/// All prompts after PRIM.
#[derive(Default)]
struct Reads {
    ious: Vec<f32>,
    worthy: Vec<Read>,
}

impl<'a> SlicePredictor<'a> {
    /// From the parts of a model.
    pub fn new(
        prompt: &'a dyn PromptEncoder,
        decoder: &'a dyn MaskDecoder,
        spec: &'a EncoderSpec,
    ) -> Self {
        Self { prompt, decoder, spec }
    }

    /// What the encoder takes and gives.
    pub fn spec(&self) -> &EncoderSpec {
        self.spec
    }

    /// The mask for one slice's features, `B = 1`, f32.
    ///
    /// # Errors
    /// When the features are of another encoder, or the settings cannot be used.
    pub fn predict(
        &self,
        features: &ImageFeatures,
        automatic: &Automatic,
    ) -> Result<SlicePrediction> {
        Ok(self.predict_with_evidence(features, automatic)?.0)
    }

    /// The same mask, and what it rests on.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_with_evidence(
        &self,
        features: &ImageFeatures,
        automatic: &Automatic,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        let batch = features.batch()?;
        if batch != 1 {
            let reason = format!("one slice is predicted at a time, {batch} were given");
            return Err(Error::Invalid(reason));
        }
        let context = self.decoder.context(features, self.prompt.dense_pe())?;
        match automatic.mode {
            Mode::Box => self.whole_box(&context, automatic),
            Mode::Points => self.grid_points(&context, automatic),
        }
    }

    /// The official program passes the one mask of the whole box through the same rule as a
    /// grid's, as if PRIM had given it an IoU of 1: small holes and islands are removed here too.
    fn whole_box(
        &self,
        context: &ImageContext,
        automatic: &Automatic,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        let bbox = whole_box(self.spec.input_side as f32)?;
        let embedding = self.prompt.encode(&Prompts::boxes(&[bbox])?)?;
        let reading = self.decoder.read(context, &embedding)?;
        let logits = self.decoder.draw(context, &reading)?.flatten_all()?.to_vec1::<f32>()?;
        let centre = Point::foreground(0.5 * bbox.x1, 0.5 * bbox.y1);
        let only = Candidate { point: centre, predicted_iou: 1.0, logits: &logits };
        let (mask, _) = self.selected(&[only], automatic)?;
        let ious = reading.iou()?.flatten_all()?.to_vec1::<f32>()?;
        let predicted_iou = ious.first().copied();
        let prediction = SlicePrediction { mask, predicted_iou, point: None };
        Ok((prediction, SliceEvidence { ious, logits }))
    }

    fn grid_points(
        &self,
        context: &ImageContext,
        automatic: &Automatic,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        let points = grid_points(automatic.grid, self.spec.input_side as f32)?;
        let mut read = Reads::default();
        for chunk in points.chunks(READ_AT_ONCE) {
            self.read(context, chunk, automatic, &mut read)?;
        }
        let mut masks = self.draw(context, &read.worthy)?;
        let candidates: Vec<Candidate<'_>> = read
            .worthy
            .iter()
            .zip(&masks)
            .map(|(r, logits)| Candidate { point: r.point, predicted_iou: r.iou, logits })
            .collect();
        let (mask, best) = self.selected(&candidates, automatic)?;
        let taken = best.as_ref().map(|r| r.candidate).filter(|&i| i < masks.len());
        let logits = taken.map(|i| masks.swap_remove(i)).unwrap_or_default();
        let predicted_iou = best.as_ref().map(|r| r.predicted_iou);
        let prediction = SlicePrediction { mask, predicted_iou, point: best.map(|r| r.point) };
        Ok((prediction, SliceEvidence { ious: read.ious, logits }))
    }

    /// The mask that the rule takes, and its record; an empty mask where it takes none.
    fn selected(
        &self,
        candidates: &[Candidate<'_>],
        automatic: &Automatic,
    ) -> Result<(BinaryMask, Option<Record>)> {
        let side = self.spec.mask_side();
        let geometry = Geometry::square(side, self.spec.input_side, side);
        let records = select(candidates, &geometry, &automatic.selection)?;
        Ok((prediction(&records, &geometry), records.into_iter().next()))
    }

    /// Reads some points and keeps the readings of those whose predicted IoU may win: the mask of
    /// any other would be thrown away unseen.
    fn read(
        &self,
        context: &ImageContext,
        points: &[Point],
        automatic: &Automatic,
        out: &mut Reads,
    ) -> Result<()> {
        let embedding = self.prompt.encode(&Prompts::points(points)?)?;
        let reading = self.decoder.read(context, &embedding)?;
        let ious = reading.iou()?.flatten_all()?.to_vec1::<f32>()?;
        for index in automatic.selection.worth_drawing(&ious) {
            out.worthy.push(Read {
                point: points[index],
                iou: ious[index],
                reading: reading.narrow(index, 1)?,
            });
        }
        out.ious.extend(ious);
        Ok(())
    }

    /// The logits of every prompt that was kept.
    fn draw(&self, context: &ImageContext, read: &[Read]) -> Result<Vec<Vec<f32>>> {
        let mut masks = Vec::with_capacity(read.len());
        for chunk in read.chunks(DRAW_AT_ONCE) {
            let join = |pick: fn(&PromptReading) -> &Tensor| {
                let parts: Vec<&Tensor> = chunk.iter().map(|r| pick(&r.reading)).collect();
                Tensor::cat(&parts, 0)
            };
            let reading = PromptReading {
                iou_all: join(|r| &r.iou_all)?,
                mask_tokens: join(|r| &r.mask_tokens)?,
                mask_embedding: join(|r| &r.mask_embedding)?,
            };
            let logits = self.decoder.draw(context, &reading)?;
            masks.extend(logits.flatten_from(1)?.to_vec2::<f32>()?);
        }
        Ok(masks)
    }
}
