//! What is taken where a part is missing, against all points decoded at once, on untrained models.

use crate::predict::{SliceEvidence, SlicePrediction, SlicePredictor};
use crate::{Mode, PromptingConfig};
use candle_core::{Device, Tensor};
use desam_core::{EncoderSpec, ImageFeatures, MaskDecoder, Point, PromptEncoder, Prompts};
use desam_decoder::{Decoder, DecoderConfig, Variant};
use desam_encoder::{FrozenSam, LoadedSam, VitConfig};
use desam_nn::params::{LoadOptions, Tensors, load};
use desam_prompt::grid_points;

/// Half the distance of the two thresholds that stability compares.
const OFFSET: f32 = 0.02;

struct Parts {
    sam: LoadedSam,
    decoder: Decoder,
    spec: EncoderSpec,
}

/// A slice's numbers under every variant come from the same seed.
fn parts(variant: Variant) -> Parts {
    let vit = VitConfig { input_side: 64, ..VitConfig::tiny() };
    let spec = vit.spec();
    let config = DecoderConfig { variant, ..DecoderConfig::tiny(&spec) };
    let options = LoadOptions::seeded(3);
    let decoder = load(Tensors::new(), &options, |vb| config.build(vb)).unwrap().module;
    Parts { sam: FrozenSam::random(&vit, 3).unwrap(), decoder, spec }
}

impl Parts {
    fn features(&self) -> ImageFeatures {
        let g = self.spec.grid();
        let wave = |channels: usize, phase: f64| {
            let n = channels * g * g;
            let numbers = (0..n).map(|i| (1.7 * (0.73 * i as f64 + phase).sin()) as f32).collect();
            Tensor::from_vec(numbers, (1, channels, g, g), &Device::Cpu).unwrap()
        };
        let taps = self.spec.tap_channels.iter().zip(0u8..);
        ImageFeatures {
            taps: taps.map(|(&c, i)| wave(c, f64::from(i))).collect(),
            embedding: wave(self.spec.embedding_channels, 9.0),
        }
    }

    fn predict(&self, prompting: &PromptingConfig) -> (SlicePrediction, SliceEvidence) {
        let predictor = SlicePredictor::new(&self.sam.sam.prompt, &self.decoder, &self.spec);
        predictor.predict_with_evidence(&self.features(), prompting).unwrap()
    }

    /// The 3×3 grid without small regions' removal: a threshold of 0 is off.
    fn prompting(&self, mode: Mode, threshold: f32) -> PromptingConfig {
        let mut prompting = PromptingConfig::new(mode, 3, self.spec.mask_side());
        prompting.selection.iou_threshold = threshold;
        prompting.selection.min_region_px = 0;
        // An untrained model's logits are small.
        prompting.selection.stability_offset = OFFSET;
        prompting
    }

    fn points(&self) -> Vec<Point> {
        grid_points(3, self.spec.input_side as f32).unwrap()
    }

    /// IoU and logits of all points, decoded at once.
    fn decode(&self) -> (Vec<f32>, Vec<Vec<f32>>) {
        let prompt = &self.sam.sam.prompt;
        let embedding = prompt.encode(&Prompts::points(&self.points()).unwrap()).unwrap();
        let out = self.decoder.decode(&self.features(), prompt.dense_pe(), &embedding).unwrap();
        let ious = out.iou.flatten_all().unwrap().to_vec1().unwrap();
        (ious, out.logits.flatten_from(1).unwrap().to_vec2().unwrap())
    }

    /// Where point `index` lies, in mask pixels.
    fn place(&self, index: usize) -> [f64; 2] {
        let scale = self.spec.mask_side() as f64 / self.spec.input_side as f64;
        let point = self.points()[index];
        [f64::from(point.x) * scale, f64::from(point.y) * scale]
    }
}

/// f32 sums in another order: prompts are read along with others.
fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

#[test]
fn pimm_alone_has_one_mask_in_both_modes() {
    let parts = parts(Variant::PimmOnly);
    let (points, evidence) = parts.predict(&parts.prompting(Mode::Points, 0.5));
    let (boxed, _) = parts.predict(&parts.prompting(Mode::Box, 0.5));
    assert!(!points.mask.is_empty());
    assert_eq!(points, boxed);
    assert_eq!((points.predicted_iou, points.point), (None, None));
    assert_eq!((evidence.drawn, evidence.ious.len()), (1, 0));
    assert!(near(&evidence.logits, &parts.decode().1[8]));
}

#[test]
fn without_fusion_the_iou_says_whether_there_is_the_one_mask() {
    let parts = parts(Variant::NoMaskFusion);
    let (ious, masks) = parts.decode();
    let best = (0..9).max_by(|a, b| ious[*a].total_cmp(&ious[*b])).unwrap();
    let (found, evidence) = parts.predict(&parts.prompting(Mode::Points, 0.0));
    assert!(!found.mask.is_empty());
    assert_eq!(found.point, Some(parts.place(best)));
    assert!((found.predicted_iou.unwrap() - ious[best]).abs() < 1e-4);
    assert!(near(&evidence.ious, &ious) && near(&evidence.logits, &masks[0]));
    assert_eq!(evidence.drawn, 1);

    let (nothing, evidence) = parts.predict(&parts.prompting(Mode::Points, 1e6));
    assert!(nothing.mask.is_empty() && nothing.point.is_none() && nothing.predicted_iou.is_none());
    assert_eq!((evidence.drawn, evidence.ious.len(), evidence.logits.len()), (0, 9, 0));
}

#[test]
fn without_an_iou_head_the_most_stable_mask_is_taken() {
    let parts = parts(Variant::NoIouHead);
    let (_, masks) = parts.decode();
    // SAM's stability score: pixels above the higher threshold for each above the lower one.
    let above = |logits: &[f32], t: f32| logits.iter().filter(|v| **v > t).count() as f64;
    let scores: Vec<f64> = masks.iter().map(|m| above(m, OFFSET) / above(m, -OFFSET)).collect();
    let mut ranked: Vec<usize> = (0..9).collect();
    ranked.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    // Equal ones keep the grid's order. The first point is not among the best.
    assert_ne!(ranked[0], 0, "{scores:?}");
    for threshold in [0.0, 0.999] {
        let (found, evidence) = parts.predict(&parts.prompting(Mode::Points, threshold));
        assert_eq!(found.point, Some(parts.place(ranked[0])));
        assert_eq!(found.predicted_iou, None);
        assert!(near(&evidence.logits, &masks[ranked[0]]));
        assert_eq!((evidence.drawn, evidence.ious.len()), (9, 0));
    }
    let (boxed, evidence) = parts.predict(&parts.prompting(Mode::Box, 0.5));
    assert_eq!((boxed.predicted_iou, evidence.ious.len()), (None, 0));
}

#[test]
fn sams_own_decoder_is_ranked_as_desam_is() {
    let parts = parts(Variant::SamDecoder);
    let (ious, _) = parts.decode();
    let best = (0..9).max_by(|a, b| ious[*a].total_cmp(&ious[*b])).unwrap();
    let (found, evidence) = parts.predict(&parts.prompting(Mode::Points, 0.0));
    assert!(near(&evidence.ious, &ious));
    assert_eq!(found.point, Some(parts.place(best)));
    assert_eq!(found.mask.width(), parts.spec.mask_side());
    let (boxed, evidence) = parts.predict(&parts.prompting(Mode::Box, 0.5));
    assert_eq!(boxed.predicted_iou, evidence.ious.first().copied());
    assert_eq!(boxed.mask.width(), parts.spec.mask_side());
}
