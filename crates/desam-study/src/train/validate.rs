//! Validation on the source site's held-out cases.

use super::batch::{PromptedSlice, read_batch};
use super::rng::{RngPurpose, stream};
use super::state::LossSums;
use super::trainer::{SliceDataset, Trainer};
use crate::Result;
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
    /// Mean over cases, and classes of each, of the Dice over a case's slices.
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
    // Of each case and class.
    let mut cases: BTreeMap<(usize, usize), OverlapMetric> = BTreeMap::new();
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
        let logits = prediction.logits.detach().flatten_from(2)?.to_vec3::<f32>()?;
        let ious = prediction.iou.detach().to_vec2::<f32>()?;
        for ((item, logits), ious) in items.iter().zip(logits).zip(ious) {
            let present =
                |class: usize| !rejects || ious.get(class).is_some_and(|iou| *iou > PRESENT);
            let found = class_map(&logits, present);
            for class in 1..=item.mask().classes() {
                let mask: Vec<u8> = found.iter().map(|c| u8::from(*c == class)).collect();
                let dice = cases.entry((item.case(), class)).or_insert_with(OverlapMetric::dice);
                dice.update(&mask, item.mask().class(class).data())?;
            }
        }
        Ok(())
    })?;
    let scores: Vec<f64> = cases.values().filter_map(OverlapMetric::compute).collect();
    let dice = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    Ok(Validation { losses, dice })
}

/// The class of each pixel, from 1: of those `present`, by index from 0, the one with the largest logit
/// above 0; 0 where there is none.
fn class_map(logits: &[Vec<f32>], present: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut best = vec![(0.0, 0); logits.first().map_or(0, Vec::len)];
    for (class, plane) in logits.iter().enumerate().filter(|(class, _)| present(*class)) {
        for (best, &logit) in best.iter_mut().zip(plane) {
            if logit > best.0 {
                *best = (logit, class + 1);
            }
        }
    }
    best.into_iter().map(|(_, class)| class).collect()
}
