//! From one slice's features to one mask.

use crate::select::{Candidate, Geometry, prediction, select};
use crate::{Automatic, Error, Mode, Result};
use candle_core::{DType, Tensor};
use desam_core::{
    BinaryMask, EncoderSpec, ImageContext, ImageFeatures, MaskDecoder, Point, Precision,
    PromptEmbedding, PromptEncoder, Prompts,
};
use desam_prompt::whole_box;

/// Predicts one slice at a time.
#[derive(Clone, Copy)]
pub struct SlicePredictor<'a> {
    pub(super) prompt: &'a dyn PromptEncoder,
    pub(super) decoder: &'a dyn MaskDecoder,
    pub(super) spec: &'a EncoderSpec,
    precision: Precision,
    reports_iou: bool,
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
    /// mode, and where the decoder predicts none or was not trained to.
    pub predicted_iou: Option<f32>,
    /// The point that gave it, (column, row) in mask pixels; `None` in whole box mode, and where no
    /// point could give another.
    pub point: Option<[f64; 2]>,
}

/// What a prediction rests on: for maps of what the model expects of each point, and for
/// probabilities in place of a mask.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceEvidence {
    /// The IoU that PRIM predicts for each point of the grid, with no sigmoid, row by row:
    /// `N·N` numbers. One number in whole box mode. Empty where the decoder predicts none or was not
    /// trained to.
    pub ious: Vec<f32>,
    /// Logits of the mask that was taken, `M·M` row by row, as they were drawn: before small
    /// regions were removed from the mask. Empty where no point was worth a mask.
    pub logits: Vec<f32>,
    /// Masks that were drawn to find the one taken.
    pub drawn: usize,
}

impl<'a> SlicePredictor<'a> {
    /// From the parts of a model, in f32.
    pub fn new(
        prompt: &'a dyn PromptEncoder,
        decoder: &'a dyn MaskDecoder,
        spec: &'a EncoderSpec,
    ) -> Self {
        let reports_iou = decoder.predicts_iou();
        Self { prompt, decoder, spec, precision: Precision::F32, reports_iou }
    }

    /// The same in another precision. Masks are compared and measured in f32 whatever it is.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same with predicted IoUs in its results, or without: where nobody taught the decoder to
    /// predict them they mean nothing. A grid is ranked by them all the same.
    pub fn with_reported_iou(self, reports: bool) -> Self {
        Self { reports_iou: reports && self.decoder.predicts_iou(), ..self }
    }

    /// What the encoder takes and gives.
    pub fn spec(&self) -> &EncoderSpec {
        self.spec
    }

    /// The mask for one slice's features, `B = 1`, wherever they are: they are brought to where the
    /// model is.
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
        self.predict_by(features, automatic, Self::grid_points)
    }

    /// The same by the plain way: every prompt is read with the others of its chunk, every mask
    /// that may win is drawn, and the rule is given them all. What the faster way is held to, at
    /// many times its work; its memory grows with the grid.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_plain(
        &self,
        features: &ImageFeatures,
        automatic: &Automatic,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        self.predict_by(features, automatic, Self::grid_points_plain)
    }

    /// Where points have to be ranked it is `grid` that does it.
    fn predict_by(
        &self,
        features: &ImageFeatures,
        automatic: &Automatic,
        grid: impl Fn(&Self, &ImageContext, &Automatic) -> Result<(SlicePrediction, SliceEvidence)>,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        let context = self.context(features)?;
        let (mut prediction, mut evidence) = match automatic.mode {
            Mode::Box => self.whole_box(&context, automatic)?,
            Mode::Points if self.lacks_ranking() => self.without_ranking(&context, automatic)?,
            Mode::Points => grid(self, &context, automatic)?,
        };
        if !self.reports_iou {
            prediction.predicted_iou = None;
            evidence.ious.clear();
        }
        Ok((prediction, evidence))
    }

    fn context(&self, features: &ImageFeatures) -> Result<ImageContext> {
        let batch = features.batch()?;
        if batch != 1 {
            let reason = format!("one slice is predicted at a time, {batch} were given");
            return Err(Error::Invalid(reason));
        }
        // Here features meet the model: from here on all is on one device and of one type.
        let (position, dtype) = (self.prompt.dense_pe(), self.precision.dtype());
        let features = features.to_device(position.device())?.to_dtype(dtype)?;
        Ok(self.decoder.context(&features, &position.to_dtype(dtype)?)?)
    }

    /// Prompts embedded where the model is, in its type.
    pub(super) fn embedded(&self, prompts: &Prompts) -> candle_core::Result<PromptEmbedding> {
        self.prompt.encode(prompts)?.to_dtype(self.precision.dtype())
    }

    /// The official program passes the one mask of the whole box through the same rule as a
    /// grid's, as if PRIM had given it an IoU of 1: small holes and islands are removed here too.
    fn whole_box(
        &self,
        context: &ImageContext,
        automatic: &Automatic,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        let bbox = whole_box(self.spec.input_side as f32)?;
        let embedding = self.embedded(&Prompts::boxes(&[bbox])?)?;
        let reading = self.decoder.encode_prompts(context, &embedding)?;
        let logits = numbers(&self.decoder.decode_masks(context, &reading)?)?;
        let centre = Point::foreground(0.5 * bbox.x1, 0.5 * bbox.y1);
        let only = Candidate { point: centre, predicted_iou: 1.0, logits: &logits };
        let geometry = self.geometry();
        let mask = prediction(&select(&[only], &geometry, &automatic.selection)?, &geometry);
        let ious = numbers(&reading.iou()?)?;
        let ious = if self.decoder.predicts_iou() { ious } else { Vec::new() };
        let predicted_iou = ious.first().copied();
        let prediction = SlicePrediction { mask, predicted_iou, point: None };
        Ok((prediction, SliceEvidence { ious, logits, drawn: 1 }))
    }

    /// Masks are wanted on their own grid.
    pub(super) fn geometry(&self) -> Geometry {
        let side = self.spec.mask_side();
        Geometry::square(side, self.spec.input_side, side)
    }
}

/// All numbers of a tensor, of whatever type, brought to the host.
pub(super) fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// The same for each along the first dimension.
pub(super) fn rows(tensor: &Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
    tensor.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2()
}
