//! Validation on the source site's held-out cases.

use super::batch::{PromptedSlice, read_batch};
use super::rng::{RngPurpose, stream};
use super::state::LossSums;
use super::trainer::{SliceDataset, Trainer};
use crate::Result;
use candle_core::Tensor;
use desam_core::Progress;
use desam_core::pipeline::prefetch;
use desam_metrics::metric::OverlapMetric;
use std::collections::BTreeMap;

/// Predicted IoU above which a slice counts as holding the structure during training: halfway between
/// the targets 0 and 1. The threshold of the finished model is chosen by
/// [`calibrate`](super::calibrate).
const PRESENT: f32 = 0.5;

/// Result of one validation.
pub(super) struct Validation {
    pub(super) losses: LossSums,
    /// Mean over cases of the Dice over each case's slices.
    pub(super) dice: f64,
}

/// Predicts every slice with one prompt, drawn from the same stream in every epoch so that epochs are
/// comparable. A whole box whose predicted presence is too low has an empty mask.
pub(super) fn validate(
    trainer: &Trainer<'_>,
    slices: &SliceDataset<'_>,
    progress: &dyn Progress,
) -> Result<Validation> {
    let mut losses = LossSums::default();
    let mut cases: BTreeMap<usize, OverlapMetric> = BTreeMap::new();
    let indices: Vec<usize> = (0..slices.len()).collect();
    let chunks: Vec<&[usize]> = indices.chunks(trainer.config.batch).collect();
    let draw_prompt = trainer.prompt_drawer();
    let prompted = |index: usize| {
        let rng = stream(trainer.config.seed, RngPurpose::Validation, 0, index);
        draw_prompt(slices.get(index)?, rng)
    };
    let rejects = trainer.config.predicts_presence();
    let ahead = trainer.prefetch;
    let read = |n: usize| read_batch(chunks[n], ahead > 0, prompted);
    prefetch(chunks.len(), ahead, read, |items: Vec<PromptedSlice>| {
        progress.check_cancelled()?;
        let (prediction, value) = trainer.forward(&trainer.batch(&items)?)?;
        losses.add(&value, items.len())?;
        let masks = prediction.logits.detach().gt(0.0)?;
        let ious = prediction.iou.detach().flatten_all()?.to_vec1::<f32>()?;
        for ((item, mut mask), iou) in items.iter().zip(per_slice(&masks)?).zip(ious) {
            if rejects && iou <= PRESENT {
                mask.fill(0);
            }
            let dice = cases.entry(item.case()).or_insert_with(OverlapMetric::dice);
            dice.update(&mask, item.mask().data())?;
        }
        Ok(())
    })?;
    let scores: Vec<f64> = cases.values().filter_map(OverlapMetric::compute).collect();
    let dice = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    Ok(Validation { losses, dice })
}

/// `[N, 1, M, M]` of 0 and 1 as one vector per slice.
fn per_slice(masks: &Tensor) -> Result<Vec<Vec<u8>>> {
    Ok(masks.flatten_from(1)?.to_vec2()?)
}
