//! Slice prediction: from the features of one slice to its mask.

use crate::model::ConfidenceCalibration;
use crate::select::{Geometry, MaskCandidate, SelectionConfig, prediction, select};
use crate::{Error, Mode, Model, PromptingConfig, Result};
use candle_core::{DType, Tensor};
use desam_core::{
    BinaryMask, EncoderSpec, ImageContext, ImageFeatures, MaskDecoder, Point, Precision, Prompt,
    PromptEmbedding, PromptEncoder, Prompts,
};
use desam_prompt::whole_box;

/// Predicts the mask of one slice at a time, by automatic prompts or by one of the caller's.
#[derive(Clone, Copy)]
pub struct SlicePredictor<'a> {
    pub(super) prompt: &'a dyn PromptEncoder,
    pub(super) decoder: &'a dyn MaskDecoder,
    pub(super) spec: &'a EncoderSpec,
    precision: Precision,
    reports_iou: bool,
    /// Number of other grid points whose masks are compared with the selected one.
    pub(super) compared_points: usize,
    calibration: Option<&'a ConfidenceCalibration>,
}

impl std::fmt::Debug for SlicePredictor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlicePredictor").field("spec", self.spec).finish_non_exhaustive()
    }
}

/// Predicted mask of one slice and class.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SlicePrediction {
    /// The mask, `M×M`; empty where no point passes the IoU threshold, or the whole box the presence
    /// threshold.
    pub mask: BinaryMask,
    /// Predicted IoU (PRIM's output without a sigmoid), also where it is not above the presence
    /// threshold of whole box mode; `None` for an empty mask of grid points mode, and where the decoder predicts none or was not trained to.
    pub predicted_iou: Option<f32>,
    /// The point that the mask was decoded for, (column, row) in mask pixels; `None` for other prompts,
    /// and where all points have the same mask.
    pub point: Option<[f64; 2]>,
    /// Agreement of grid points: mean Dice of other points' masks with this one, 0 to 1; `None` where none
    /// was compared ([`SlicePredictor::with_compared_points`]).
    pub agreement: Option<f32>,
    /// Mean foreground probability of the mask's pixels, 0 to 1; `None` of an empty mask.
    pub mean_probability: Option<f32>,
    /// Confidence: the Dice that is to be expected of a mask with this mean probability, 0 to 1, by the
    /// calibration on the held-out cases; `None` of an empty mask, and of a model without one.
    pub confidence: Option<f32>,
}

impl SlicePrediction {
    /// A mask about which nothing else is known.
    pub fn of_mask(mask: BinaryMask) -> Self {
        let (point, agreement, mean_probability, confidence) = (None, None, None, None);
        Self { mask, predicted_iou: None, point, agreement, mean_probability, confidence }
    }
}

/// Raw decoder outputs behind a prediction: predicted IoUs and mask logits.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SliceEvidence {
    /// Predicted IoU of each grid point, without a sigmoid, row by row: `N·N` numbers; one number for
    /// a single prompt. Empty where the decoder predicts none or was not trained to.
    pub ious: Vec<f32>,
    /// Logits of the selected mask, `M·M` row by row, before small regions were removed. Empty where
    /// no point passes the IoU threshold, or the whole box the presence threshold.
    pub logits: Vec<f32>,
    /// Number of masks decoded to find the selected one.
    pub drawn: usize,
}

impl SliceEvidence {
    /// No outputs, of a mask that no decoder made.
    pub fn none() -> Self {
        Self { ious: Vec::new(), logits: Vec::new(), drawn: 0 }
    }

    /// Mean probability of a mask's pixels; `None` where there are none or no logits.
    fn mean_probability(&self, mask: &BinaryMask) -> Option<f32> {
        let inside = mask.data().iter().zip(&self.logits).filter(|(inside, _)| **inside > 0);
        let (sum, count) = inside.fold((0.0, 0_u32), |(sum, count), (_, logit)| {
            (sum + 1.0 / (1.0 + f64::from(-logit).exp()), count + 1)
        });
        (count > 0).then(|| (sum / f64::from(count)) as f32)
    }

    /// Sigmoid of the [`logits`](Self::logits): probabilities, `M·M` row by row.
    pub fn probabilities(&self) -> Vec<f32> {
        self.logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect()
    }
}

impl Model {
    /// Predicts masks from the features of one slice at a time.
    pub fn predictor(&self) -> SlicePredictor<'_> {
        SlicePredictor::new(self.prompt_encoder(), self.decoder(), self.spec())
            .with_precision(self.precision())
            .with_reported_iou(self.record().iou_is_trained())
            .with_calibration(self.record().confidence())
    }
}

impl<'a> SlicePredictor<'a> {
    /// A predictor from the parts of a model, in f32.
    pub fn new(
        prompt: &'a dyn PromptEncoder,
        decoder: &'a dyn MaskDecoder,
        spec: &'a EncoderSpec,
    ) -> Self {
        let reports_iou = decoder.predicts_iou();
        let precision = Precision::F32;
        let calibration = None;
        Self { prompt, decoder, spec, precision, reports_iou, compared_points: 0, calibration }
    }

    /// Computes in another precision. Masks are compared and measured in f32 in any case.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Whether results include predicted IoUs: those of a decoder that was not trained to predict
    /// them are meaningless. A grid is ranked by them in any case.
    pub fn with_reported_iou(self, reports: bool) -> Self {
        Self { reports_iou: reports && self.decoder.predicts_iou(), ..self }
    }

    /// Compares the selected mask of a grid with the masks of up to `points` other points, those with the
    /// best predicted IoU above the threshold ([`SlicePrediction::agreement`]). Each takes the decoding of
    /// one more mask. 0, the default, compares none.
    pub fn with_compared_points(self, points: usize) -> Self {
        Self { compared_points: points, ..self }
    }

    /// Sets the calibration that gives each mask a [`confidence`](SlicePrediction::confidence).
    pub fn with_calibration(self, calibration: Option<&'a ConfidenceCalibration>) -> Self {
        Self { calibration, ..self }
    }

    /// Sides and channels of the image encoder.
    pub fn spec(&self) -> &EncoderSpec {
        self.spec
    }

    /// Predicts the mask for the features of one slice, `B = 1`, on any device: they are
    /// copied to the model's. Of a model of several classes it is the mask of the first.
    ///
    /// # Errors
    /// When the features are another encoder's, or a setting is out of range.
    pub fn predict(
        &self,
        features: &ImageFeatures,
        prompting: &PromptingConfig,
    ) -> Result<SlicePrediction> {
        Ok(self.predict_with_evidence(features, prompting)?.0)
    }

    /// The same mask, with predicted IoUs and logits.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_with_evidence(
        &self,
        features: &ImageFeatures,
        prompting: &PromptingConfig,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        first(self.predict_classes(features, prompting)?)
    }

    /// The masks of all classes, in the order of the model's table, with predicted IoUs and logits. Each is
    /// selected on its own, so masks may overlap: [`class_map`](super::class_map) decides between them.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_classes(
        &self,
        features: &ImageFeatures,
        prompting: &PromptingConfig,
    ) -> Result<Vec<ClassPrediction>> {
        self.predict_by(features, prompting, Self::grid_points)
    }

    /// The same by the reference implementation: decodes every mask that may win and applies the
    /// selection rule to all of them. Many times slower than [`predict`](Self::predict), whose results
    /// are tested against it; its memory grows with the grid.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_plain(
        &self,
        features: &ImageFeatures,
        prompting: &PromptingConfig,
    ) -> Result<(SlicePrediction, SliceEvidence)> {
        first(self.predict_classes_plain(features, prompting)?)
    }

    /// The masks of all classes by the reference implementation.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_classes_plain(
        &self,
        features: &ImageFeatures,
        prompting: &PromptingConfig,
    ) -> Result<Vec<ClassPrediction>> {
        self.predict_by(features, prompting, Self::grid_points_plain)
    }

    /// Predicts with `grid` for the points of decoders that can rank them.
    fn predict_by(
        &self,
        features: &ImageFeatures,
        prompting: &PromptingConfig,
        grid: impl Fn(&Self, &ImageContext, &PromptingConfig) -> Result<Vec<ClassPrediction>>,
    ) -> Result<Vec<ClassPrediction>> {
        let context = self.context(features)?;
        let prompting = &prompting.of_slice();
        let mut classes = match prompting.mode {
            Mode::Box => self.whole_box(&context, prompting)?,
            Mode::Points if self.lacks_ranking() => self.without_ranking(&context, prompting)?,
            Mode::Points => grid(self, &context, prompting)?,
        };
        let threshold = prompting.presence_threshold.filter(|_| prompting.mode == Mode::Box);
        for (prediction, evidence) in &mut classes {
            self.withhold_untrained_iou(prediction, evidence);
            if prediction.predicted_iou.zip(threshold).is_some_and(|(iou, least)| iou <= least) {
                let (height, width) = (prediction.mask.height(), prediction.mask.width());
                prediction.mask = BinaryMask::empty(height, width);
                evidence.logits.clear();
            }
            self.rate(prediction, evidence);
        }
        Ok(classes)
    }

    /// Predicts the mask of one prompt, in pixels of the encoder's input, from the context of a slice
    /// ([`context`](Self::context)): one a class, in the order of the model's table. They are cleaned as the
    /// automatic ones are.
    ///
    /// # Errors
    /// When a coordinate is not finite, or the context is another decoder's.
    pub fn predict_prompt(
        &self,
        context: &ImageContext,
        prompt: Prompt,
        selection: &SelectionConfig,
    ) -> Result<Vec<ClassPrediction>> {
        let mut classes = self.single(context, prompt, selection)?;
        for (prediction, evidence) in &mut classes {
            self.withhold_untrained_iou(prediction, evidence);
            self.rate(prediction, evidence);
        }
        Ok(classes)
    }

    /// Rates a mask by the probabilities of its pixels.
    fn rate(&self, prediction: &mut SlicePrediction, evidence: &SliceEvidence) {
        let mean = evidence.mean_probability(&prediction.mask);
        prediction.mean_probability = mean;
        prediction.confidence =
            mean.zip(self.calibration).map(|(mean, calibration)| calibration.expected_dice(mean));
    }

    fn withhold_untrained_iou(
        &self,
        prediction: &mut SlicePrediction,
        evidence: &mut SliceEvidence,
    ) {
        if !self.reports_iou {
            prediction.predicted_iou = None;
            evidence.ious.clear();
        }
    }

    /// Computes everything about a slice that does not depend on prompts, from its features, `B = 1`.
    ///
    /// # Errors
    /// When the features are another encoder's, or of several slices.
    pub fn context(&self, features: &ImageFeatures) -> Result<ImageContext> {
        let batch = features.batch()?;
        if batch != 1 {
            let reason = format!("one slice is predicted at a time, found features of {batch}");
            return Err(Error::Invalid(reason));
        }
        // From here on all tensors are on the model's device and of its type.
        let (position, dtype) = (self.prompt.dense_pe(), self.precision.dtype());
        let features = features.to_device(position.device())?.to_dtype(dtype)?;
        Ok(self.decoder.context(&features, &position.to_dtype(dtype)?)?)
    }

    /// Embeds prompts on the model's device, in its type.
    pub(super) fn embedded(&self, prompts: &Prompts) -> candle_core::Result<PromptEmbedding> {
        self.prompt.encode(prompts)?.to_dtype(self.precision.dtype())
    }

    /// Whole box mode: one box as large as the input.
    fn whole_box(
        &self,
        context: &ImageContext,
        prompting: &PromptingConfig,
    ) -> Result<Vec<ClassPrediction>> {
        let bbox = whole_box(self.spec.input_side as f32)?;
        self.single(context, Prompt::boxed(bbox), &prompting.selection)
    }

    /// The masks of a single prompt, one a class. The official program passes the one mask of the whole box through
    /// the selection rule of the grid as if PRIM had predicted an IoU of 1: small holes and islands
    /// are removed here, too.
    fn single(
        &self,
        context: &ImageContext,
        prompt: Prompt,
        selection: &SelectionConfig,
    ) -> Result<Vec<ClassPrediction>> {
        let embedding = self.embedded(&Prompts::new(vec![prompt])?)?;
        let reading = self.decoder.encode_prompts(context, &embedding)?;
        let planes = planes(&self.decoder.decode_masks(context, &reading)?)?.concat();
        let ious = rows(&reading.ious(self.decoder.classes())?.t()?)?;
        let geometry = self.geometry();
        let of_class = |(logits, ious): (Vec<f32>, Vec<f32>)| {
            // The rule copies the point to its result, which has none for a single prompt.
            let point = Point::foreground(0.0, 0.0);
            let only = MaskCandidate { point, predicted_iou: 1.0, logits: &logits };
            let mask = prediction(&select(&[only], &geometry, selection)?, &geometry);
            let ious = if self.decoder.predicts_iou() { ious } else { Vec::new() };
            let predicted_iou = ious.first().copied();
            let prediction = SlicePrediction { predicted_iou, ..SlicePrediction::of_mask(mask) };
            Ok((prediction, SliceEvidence { ious, logits, drawn: 1 }))
        };
        planes.into_iter().zip(ious).map(of_class).collect()
    }

    /// Masks stay on their own grid.
    pub(super) fn geometry(&self) -> Geometry {
        let side = self.spec.mask_side();
        Geometry::square(side, self.spec.input_side, side)
    }
}

/// The prediction of one class, with the outputs behind it.
pub type ClassPrediction = (SlicePrediction, SliceEvidence);

/// The prediction of the first class.
fn first(classes: Vec<ClassPrediction>) -> Result<ClassPrediction> {
    let none = || Error::Invalid("a decoder has at least one class".into());
    classes.into_iter().next().ok_or_else(none)
}

/// Copies mask logits `[N, L, M, M]` to the host: for each prompt and class `M·M` numbers.
pub(super) fn planes(logits: &Tensor) -> candle_core::Result<Vec<Vec<Vec<f32>>>> {
    logits.to_dtype(DType::F32)?.flatten_from(2)?.to_vec3()
}

/// Copies a tensor to the host, as f32: the elements at each index of the first dimension.
pub(super) fn rows(tensor: &Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
    tensor.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2()
}
