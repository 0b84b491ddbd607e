//! How good the model is on the source site's held-out cases.

use super::batch::{Prompted, Purpose, stream};
use super::reading::{in_order, read_batch};
use super::state::LossSums;
use super::trainer::{Slices, Trainer};
use crate::Result;
use candle_core::Tensor;
use desam_metrics::metric::OverlapMetric;
use std::collections::BTreeMap;

/// What validation found.
pub(super) struct Validation {
    pub(super) losses: LossSums,
    /// Mean over cases of the Dice over each case's labelled slices.
    pub(super) dice: f64,
}

/// One prompt a slice, drawn from the same stream in every epoch, so that epochs can be compared.
pub(super) fn validate(trainer: &Trainer<'_>, slices: &Slices<'_>) -> Result<Validation> {
    let mut losses = LossSums::default();
    let mut cases: BTreeMap<usize, OverlapMetric> = BTreeMap::new();
    let indices: Vec<usize> = (0..slices.len()).collect();
    let chunks: Vec<&[usize]> = indices.chunks(trainer.config.batch).collect();
    let prompted = trainer.prompting();
    let drawn = |index: usize| {
        let rng = stream(trainer.config.seed, Purpose::Validation, 0, index);
        prompted(slices.get(index)?, rng)
    };
    let ahead = trainer.ahead;
    let read = |n: usize| read_batch(chunks[n], ahead > 0, drawn);
    in_order(chunks.len(), ahead, read, |items: Vec<Prompted>| {
        let (prediction, value) = trainer.forward(&trainer.batch(&items)?)?;
        losses.add(&value, items.len())?;
        let masks = prediction.logits.detach().gt(0.0)?;
        for (item, mask) in items.iter().zip(per_slice(&masks)?) {
            let dice = cases.entry(item.case()).or_insert_with(OverlapMetric::dice);
            dice.update(&mask, Prompted::mask(item).data())?;
        }
        Ok(())
    })?;
    let scores: Vec<f64> = cases.values().filter_map(OverlapMetric::compute).collect();
    let dice = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    Ok(Validation { losses, dice })
}

/// `[N, 1, M, M]` of 0 and 1 as one vector a slice.
fn per_slice(masks: &Tensor) -> Result<Vec<Vec<u8>>> {
    Ok(masks.flatten_from(1)?.to_vec2()?)
}
