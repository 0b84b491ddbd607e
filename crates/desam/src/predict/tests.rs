//! What a prediction rests on, and the fast way against the plain one, on untrained models.

use super::SlicePredictor;
use crate::{Automatic, Mode};
use candle_core::{Device, Tensor};
use desam_core::{
    EncoderSpec, ImageContext, ImageFeatures, MaskDecoder, PromptEmbedding, PromptEncoder,
    PromptReading, Prompts,
};
use desam_decoder::{Decoder, DecoderConfig};
use desam_encoder::{FrozenSam, LoadedSam, VitConfig};
use desam_nn::params::{LoadOptions, Tensors, load};
use desam_prompt::{grid_points, whole_box};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

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

    /// IoU and logits of prompts, all drawn at once.
    fn decode(&self, features: &ImageFeatures, prompts: &Prompts) -> (Vec<f32>, Vec<Vec<f32>>) {
        let prompt = &self.sam.sam.prompt;
        let embedding = prompt.encode(prompts).unwrap();
        let out = self.decoder.decode(features, prompt.dense_pe(), &embedding).unwrap();
        let ious = out.iou.flatten_all().unwrap().to_vec1().unwrap();
        (ious, out.logits.flatten_from(1).unwrap().to_vec2().unwrap())
    }
}

/// An untrained PRIM expects nothing of any point; at 0 the filter is off.
fn open(mode: Mode, grid: usize, mask_side: usize) -> Automatic {
    let mut automatic = Automatic::new(mode, grid, mask_side);
    automatic.selection.iou_threshold = 0.0;
    automatic
}

#[test]
fn the_evidence_is_what_the_model_says() {
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
    let mut automatic = open(Mode::Points, 7, side);
    // With no region removed the best predicted IoU wins.
    automatic.selection.min_region_px = 0;
    let (prediction, evidence) =
        parts.predictor().predict_with_evidence(&features, &automatic).unwrap();
    near(&evidence.ious, &ious);
    let best = (0..49).max_by(|a, b| evidence.ious[*a].total_cmp(&evidence.ious[*b])).unwrap();
    assert_eq!(prediction.predicted_iou, Some(evidence.ious[best]));
    near(&evidence.logits, &masks[best]);
    let above = evidence.logits.iter().filter(|v| **v > 0.0).count();
    assert!(above > 0 && above < side * side);
    assert_eq!(parts.predictor().predict(&features, &automatic).unwrap(), prediction);

    let bbox = whole_box(parts.spec.input_side as f32).unwrap();
    let (ious, masks) = parts.decode(&features, &Prompts::boxes(&[bbox]).unwrap());
    let automatic = open(Mode::Box, 7, side);
    let (prediction, evidence) =
        parts.predictor().predict_with_evidence(&features, &automatic).unwrap();
    assert_eq!(prediction.predicted_iou, evidence.ious.first().copied());
    near(&evidence.ious, &ious);
    near(&evidence.logits, &masks[0]);
}

#[test]
fn where_nothing_is_taken_the_ious_are_told_all_the_same() {
    let parts = Parts::random(3);
    let mut automatic = open(Mode::Points, 3, parts.spec.mask_side());
    automatic.selection.iou_threshold = 1e30;
    let (prediction, evidence) =
        parts.predictor().predict_with_evidence(&parts.features(4), &automatic).unwrap();
    assert!(prediction.mask.is_empty() && prediction.point.is_none());
    assert_eq!((evidence.ious.len(), evidence.logits.len()), (9, 0));
}

/// A decoder of which nothing is known but the trait: the default reader is used, and `read` gives
/// each prompt the same bits whatever it is read along with.
struct Stranger(Decoder);

impl MaskDecoder for Stranger {
    fn context(
        &self,
        features: &ImageFeatures,
        position: &Tensor,
    ) -> candle_core::Result<ImageContext> {
        self.0.context(features, position)
    }

    fn read(
        &self,
        context: &ImageContext,
        prompts: &PromptEmbedding,
    ) -> candle_core::Result<PromptReading> {
        let one = |i: usize| {
            let (sparse, dense) = (prompts.sparse.narrow(0, i, 1)?, prompts.dense.narrow(0, i, 1)?);
            self.0.read(context, &PromptEmbedding { sparse, dense })
        };
        let all: Vec<PromptReading> =
            (0..prompts.dense.dim(0)?).map(one).collect::<candle_core::Result<_>>()?;
        let join = |pick: fn(&PromptReading) -> Tensor| {
            Tensor::cat(&all.iter().map(pick).collect::<Vec<_>>(), 0)
        };
        Ok(PromptReading {
            iou_all: join(|r| r.iou_all.clone())?,
            mask_tokens: join(|r| r.mask_tokens.clone())?,
            mask_embedding: join(|r| r.mask_embedding.clone())?,
        })
    }

    fn draw(&self, context: &ImageContext, reading: &PromptReading) -> candle_core::Result<Tensor> {
        self.0.draw(context, reading)
    }
}

/// Thresholds at which none, one, about half and all of the points survive.
fn thresholds(ious: &[f32]) -> Vec<f32> {
    let mut sorted = ious.to_vec();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len() - 1;
    // A threshold at 0 or below is off.
    let on = |v: f32| if v > 0.0 { v } else { f32::MIN_POSITIVE };
    let before = sorted[last.saturating_sub(1)];
    vec![on(sorted[last]), on(before), on(sorted[last / 2]), 0.0]
}

/// A decoder whose predicted IoU is about a half above that of the untrained one.
fn hopeful(seed: u64, vit: &VitConfig) -> Decoder {
    let config = DecoderConfig::tiny(&vit.spec());
    let options = LoadOptions::seeded(seed);
    let mut tensors = load(Tensors::new(), &options, |vb| config.build(vb)).unwrap().tensors;
    let last = "mask_decoder.iou_prediction_head.layers.2.bias";
    let raised = (tensors[last].clone() + 0.5).unwrap();
    tensors.insert(last.into(), raised);
    load(tensors, &options, |vb| config.build(vb)).unwrap().module
}

#[test]
fn as_few_masks_as_it_takes_give_the_plain_way_s_mask_bit_for_bit() {
    let vit = VitConfig { input_side: 64, ..VitConfig::tiny() };
    let (mut searched, mut empty) = (0, 0);
    for (seed, grid) in [1, 5, 9, 11, 15, 21, 25, 9, 9, 5].into_iter().enumerate() {
        let mut parts = Parts::random(seed as u64);
        parts.decoder = hopeful(seed as u64, &vit);
        let features = parts.features(100 + seed as u64);
        let side = parts.spec.mask_side();
        let stranger = Stranger(parts.decoder.clone());
        let predictor = SlicePredictor::new(&parts.sam.sam.prompt, &stranger, &parts.spec);
        let automatic = open(Mode::Points, grid, side);
        let ious = predictor.predict_with_evidence(&features, &automatic).unwrap().1.ious;
        for iou_threshold in thresholds(&ious) {
            let regions = [automatic.selection.min_region_px, 0, 2 * side];
            for &min_region_px in &regions[..if grid > 11 { 1 } else { 3 }] {
                let mut automatic = automatic.clone();
                automatic.selection.iou_threshold = iou_threshold;
                automatic.selection.min_region_px = min_region_px;
                let (plain, all) = predictor.predict_plain(&features, &automatic).unwrap();
                let (found, evidence) =
                    predictor.predict_with_evidence(&features, &automatic).unwrap();
                let at =
                    format!("{seed}, {grid}×{grid}, above {iou_threshold}, {min_region_px} px");
                assert_eq!(found, plain, "{at}");
                assert_eq!(evidence.ious, all.ious, "{at}");
                assert_eq!(evidence.logits, all.logits, "{at}");
                assert!(evidence.drawn <= all.drawn && all.drawn == grid * grid, "{at}");
                searched += usize::from(evidence.drawn > 1);
                empty += usize::from(evidence.drawn == 0);
            }
        }
    }
    assert!(searched > 5 && empty > 5, "{searched} {empty}");
}
