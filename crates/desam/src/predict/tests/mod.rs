//! What a prediction rests on, and the fast way against the plain one, on untrained models.

use super::SlicePredictor;
use crate::{Mode, PromptingConfig};
use candle_core::{Device, Tensor};
use desam_core::{EncoderSpec, ImageFeatures, MaskDecoder, PromptEncoder, Prompts};
use desam_decoder::{Decoder, DecoderConfig};
use desam_encoder::{FrozenSam, LoadedSam, VitConfig};
use desam_nn::params::{LoadOptions, Tensors, load};
use desam_prompt::{grid_points, whole_box};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[cfg(feature = "emulation")]
mod gpu;
mod search;
mod trained;

struct Parts {
    sam: LoadedSam,
    decoder: Decoder,
    spec: EncoderSpec,
}

impl Parts {
    fn random(seed: u64) -> Self {
        let vit = VitConfig { input_side: 64, ..VitConfig::tiny() };
        let spec = vit.spec();
        let config = DecoderConfig::tiny(&spec);
        let options = LoadOptions::seeded(seed);
        let decoder = load(Tensors::new(), &options, |vb| config.build(vb)).unwrap().module;
        Self { sam: FrozenSam::random(&vit, seed).unwrap(), decoder, spec }
    }

    /// With another decoder, of several classes.
    fn with_classes(mut self, classes: usize, seed: u64) -> Self {
        let config = DecoderConfig { classes, ..DecoderConfig::tiny(&self.spec) };
        let options = LoadOptions::seeded(seed);
        self.decoder = load(Tensors::new(), &options, |vb| config.build(vb)).unwrap().module;
        self
    }

    fn predictor(&self) -> SlicePredictor<'_> {
        SlicePredictor::new(&self.sam.sam.prompt, &self.decoder, &self.spec)
    }

    fn features(&self, seed: u64) -> ImageFeatures {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let g = self.spec.grid();
        let mut random = |channels: usize| {
            let numbers = (0..channels * g * g).map(|_| rng.random_range(-1.5..1.5f32)).collect();
            Tensor::from_vec(numbers, (1, channels, g, g), &Device::Cpu).unwrap()
        };
        let taps = self.spec.tap_channels.iter().map(|&c| random(c)).collect();
        ImageFeatures { taps, embedding: random(self.spec.embedding_channels) }
    }

    /// Predicted IoU and logits of prompts, decoded in one batch.
    fn decode(&self, features: &ImageFeatures, prompts: &Prompts) -> (Vec<f32>, Vec<Vec<f32>>) {
        let prompt = &self.sam.sam.prompt;
        let embedding = prompt.encode(prompts).unwrap();
        let out = self.decoder.decode(features, prompt.dense_pe(), &embedding).unwrap();
        let ious = out.iou.flatten_all().unwrap().to_vec1().unwrap();
        (ious, out.logits.flatten_from(1).unwrap().to_vec2().unwrap())
    }
}

/// An untrained PRIM expects nothing of any point; at 0 the filter is off.
fn open(mode: Mode, grid: usize, mask_side: usize) -> PromptingConfig {
    let mut prompting = PromptingConfig::new(mode, grid, mask_side);
    prompting.selection.iou_threshold = 0.0;
    prompting
}

#[test]
fn evidence_equals_the_decoders_outputs() {
    let parts = Parts::random(3);
    let features = parts.features(4);
    let side = parts.spec.mask_side();
    let near = |a: &[f32], b: &[f32]| {
        assert_eq!(a.len(), b.len());
        // Prompts are read in other chunks: sums of products in another order, values of about 1.
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} {b:?}");
    };

    let points = grid_points(7, parts.spec.input_side as f32).unwrap();
    let (ious, masks) = parts.decode(&features, &Prompts::points(&points).unwrap());
    let mut prompting = open(Mode::Points, 7, side);
    // With no region removed the best predicted IoU wins.
    prompting.selection.min_region_px = 0;
    let (prediction, evidence) =
        parts.predictor().predict_with_evidence(&features, &prompting).unwrap();
    near(&evidence.ious, &ious);
    let best = (0..49).max_by(|a, b| evidence.ious[*a].total_cmp(&evidence.ious[*b])).unwrap();
    assert_eq!(prediction.predicted_iou, Some(evidence.ious[best]));
    near(&evidence.logits, &masks[best]);
    let above = evidence.logits.iter().filter(|v| **v > 0.0).count();
    assert!(above > 0 && above < side * side);
    assert_eq!(parts.predictor().predict(&features, &prompting).unwrap(), prediction);

    let bbox = whole_box(parts.spec.input_side as f32).unwrap();
    let (ious, masks) = parts.decode(&features, &Prompts::boxes(&[bbox]).unwrap());
    let prompting = open(Mode::Box, 7, side);
    let (prediction, evidence) =
        parts.predictor().predict_with_evidence(&features, &prompting).unwrap();
    assert_eq!(prediction.predicted_iou, evidence.ious.first().copied());
    near(&evidence.ious, &ious);
    near(&evidence.logits, &masks[0]);
}

#[test]
fn an_untrained_iou_is_left_out() {
    let parts = Parts::random(3);
    let (features, side) = (parts.features(4), parts.spec.mask_side());
    for mode in [Mode::Points, Mode::Box] {
        let prompting = open(mode, 3, side);
        let reported = parts.predictor().predict_with_evidence(&features, &prompting).unwrap();
        let silent = parts.predictor().with_reported_iou(false);
        let (prediction, evidence) = silent.predict_with_evidence(&features, &prompting).unwrap();
        assert!(reported.0.predicted_iou.is_some() && !reported.1.ious.is_empty());
        assert_eq!((prediction.predicted_iou, evidence.ious.len()), (None, 0));
        // The mask, and the point that it is from, are the same.
        assert_eq!((prediction.mask, prediction.point), (reported.0.mask, reported.0.point));
        assert_eq!(evidence.logits, reported.1.logits);
    }
}

#[test]
fn ious_are_reported_even_where_no_mask_is_selected() {
    let parts = Parts::random(3);
    let mut prompting = open(Mode::Points, 3, parts.spec.mask_side());
    prompting.selection.iou_threshold = 1e30;
    let (prediction, evidence) =
        parts.predictor().predict_with_evidence(&parts.features(4), &prompting).unwrap();
    assert!(prediction.mask.is_empty() && prediction.point.is_none());
    assert_eq!((evidence.ious.len(), evidence.logits.len()), (9, 0));
}

#[test]
fn each_class_is_selected_on_its_own() {
    for (seed, classes) in [(3, 2), (4, 3), (5, 6)] {
        let parts = Parts::random(seed).with_classes(classes, seed);
        let (features, side) = (parts.features(seed), parts.spec.mask_side());
        for mode in [Mode::Points, Mode::Box] {
            let mut prompting = open(mode, 5, side);
            prompting.selection.min_region_px = 3;
            let found = parts.predictor().predict_classes(&features, &prompting).unwrap();
            let plain = parts.predictor().predict_classes_plain(&features, &prompting).unwrap();
            assert_eq!(found.len(), classes);
            for ((found, evidence), (plain, all)) in found.iter().zip(&plain) {
                let near =
                    |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
                assert!(near(&evidence.ious, &all.ious) && near(&evidence.logits, &all.logits));
                assert_eq!(found.point, plain.point, "{mode}");
            }
            // The first alone is that of the first class.
            let first = parts.predictor().predict_with_evidence(&features, &prompting).unwrap();
            assert_eq!(first, found[0]);
            let points: Vec<_> = found.iter().map(|(slice, _)| slice.point).collect();
            assert!(mode == Mode::Box || points.iter().all(Option::is_some), "{points:?}");
            // By hand: the class of a pixel has the largest logit of the masks that cover it.
            let map = super::class_map(&found).unwrap();
            for (n, &class) in map.map().data().iter().enumerate() {
                let covering =
                    found.iter().zip(1..).filter(|((slice, _), _)| slice.mask.data()[n] > 0);
                let logit = |class: u8| found[usize::from(class) - 1].1.logits[n].max(0.0);
                let best = covering
                    .map(|(_, class)| class)
                    .max_by(|a, b| logit(*a).total_cmp(&logit(*b)).then(b.cmp(a)));
                assert_eq!(class, best.unwrap_or(0));
            }
        }
        // A threshold rejects classes one by one.
        let prompting = open(Mode::Box, 5, side);
        let ious: Vec<f32> = parts
            .predictor()
            .predict_classes(&features, &prompting)
            .unwrap()
            .iter()
            .filter_map(|(slice, _)| slice.predicted_iou)
            .collect();
        let least = ious.iter().copied().fold(f32::INFINITY, f32::min);
        let kept = prompting.with_presence_threshold(least);
        let found = parts.predictor().predict_classes(&features, &kept).unwrap();
        let empty: Vec<bool> =
            found.iter().map(|(_, evidence)| evidence.logits.is_empty()).collect();
        assert_eq!(empty, ious.iter().map(|iou| *iou <= least).collect::<Vec<_>>());
    }
}
