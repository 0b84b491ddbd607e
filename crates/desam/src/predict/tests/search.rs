//! As few masks as it takes against all of them.

use super::{Parts, open};
use crate::Mode;
use crate::predict::SlicePredictor;
use candle_core::Tensor;
use desam_core::{ImageContext, ImageFeatures, MaskDecoder, PromptEmbedding, PromptOutput};
use desam_decoder::{Decoder, DecoderConfig};
use desam_encoder::VitConfig;
use desam_nn::params::{LoadOptions, Tensors, load};

/// A decoder that implements only the required methods of the trait: it uses the default reader, and
/// encodes each prompt to the same bits whatever else is in the batch.
struct MinimalDecoder(Decoder);

impl MaskDecoder for MinimalDecoder {
    fn context(
        &self,
        features: &ImageFeatures,
        position: &Tensor,
    ) -> candle_core::Result<ImageContext> {
        self.0.context(features, position)
    }

    fn encode_prompts(
        &self,
        context: &ImageContext,
        prompts: &PromptEmbedding,
    ) -> candle_core::Result<PromptOutput> {
        let one = |i: usize| {
            let (sparse, dense) = (prompts.sparse.narrow(0, i, 1)?, prompts.dense.narrow(0, i, 1)?);
            self.0.encode_prompts(context, &PromptEmbedding { sparse, dense })
        };
        let all: Vec<PromptOutput> =
            (0..prompts.dense.dim(0)?).map(one).collect::<candle_core::Result<_>>()?;
        let join = |pick: fn(&PromptOutput) -> Tensor| {
            Tensor::cat(&all.iter().map(pick).collect::<Vec<_>>(), 0)
        };
        Ok(PromptOutput {
            iou_all: join(|r| r.iou_all.clone())?,
            mask_tokens: join(|r| r.mask_tokens.clone())?,
            mask_embedding: join(|r| r.mask_embedding.clone())?,
        })
    }

    fn decode_masks(
        &self,
        context: &ImageContext,
        reading: &PromptOutput,
    ) -> candle_core::Result<Tensor> {
        self.0.decode_masks(context, reading)
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
        let minimal = MinimalDecoder(parts.decoder.clone());
        let predictor = SlicePredictor::new(&parts.sam.sam.prompt, &minimal, &parts.spec);
        let prompting = open(Mode::Points, grid, side);
        let ious = predictor.predict_with_evidence(&features, &prompting).unwrap().1.ious;
        for iou_threshold in thresholds(&ious) {
            let regions = [prompting.selection.min_region_px, 0, 2 * side];
            for &min_region_px in &regions[..if grid > 11 { 1 } else { 3 }] {
                let mut prompting = prompting.clone();
                prompting.selection.iou_threshold = iou_threshold;
                prompting.selection.min_region_px = min_region_px;
                let (plain, all) = predictor.predict_plain(&features, &prompting).unwrap();
                let (found, evidence) =
                    predictor.predict_with_evidence(&features, &prompting).unwrap();
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

/// How far a value may be from the plain way's, as a share of the largest: sums run in another
/// order, in PRIM and in the gemm of small batches, and instance norms magnify what they leave.
const REASSOCIATION: f32 = 2e-4;

#[test]
fn with_its_own_reader_the_decoder_takes_the_same_point_and_mask() {
    let vit = VitConfig { input_side: 64, ..VitConfig::tiny() };
    let (mut cases, mut same) = (0, 0);
    for (seed, grid) in [1, 5, 9, 11, 15, 21, 25, 9, 9, 5, 9].into_iter().enumerate() {
        let seed = 40 + seed as u64;
        let mut parts = Parts::random(seed);
        parts.decoder = hopeful(seed, &vit);
        let features = parts.features(100 + seed);
        let mut prompting = open(Mode::Points, grid, parts.spec.mask_side());
        let predictor = parts.predictor();
        let ious = predictor.predict_with_evidence(&features, &prompting).unwrap().1.ious;
        for iou_threshold in thresholds(&ious) {
            // Not on a predicted IoU itself: rounding would decide.
            prompting.selection.iou_threshold = iou_threshold * 0.999;
            let (plain, all) = predictor.predict_plain(&features, &prompting).unwrap();
            let (found, evidence) = predictor.predict_with_evidence(&features, &prompting).unwrap();
            let largest = |v: &[f32]| v.iter().fold(0f32, |m, v| m.max(v.abs()));
            let near = |a: &[f32], b: &[f32]| {
                let limit = REASSOCIATION * largest(b);
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= limit)
            };
            assert!(near(&evidence.ious, &all.ious), "{seed}");
            cases += 1;
            if found.point == plain.point {
                assert!(near(&evidence.logits, &all.logits), "{seed}");
                same += usize::from(found.mask == plain.mask);
            }
        }
    }
    // Two IoU or a logit and 0 may be so near that rounding decides; on a machine with AVX-512 none
    // of these are.
    assert!(cases == 44 && same >= 42, "{same} of {cases}");
}
