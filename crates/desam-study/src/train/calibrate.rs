//! Calibration of a trained model on the held-out cases: the presence threshold.
//!
//! A model that was trained on empty slices predicts an IoU near 0 where there is nothing. How near
//! depends on the data, so the threshold above which a slice gets a mask is chosen on the held-out
//! cases: the one with the best mean Dice of whole volumes.

use super::TrainConfig;
use super::trainer::SliceDataset;
use crate::Result;
use desam::model::PresenceCalibration;
use desam::{Mode, Model, PromptingConfig};
use desam_core::Progress;
use std::collections::BTreeMap;

/// Points along each side of the grid (paper: 9).
const GRID: usize = 9;

/// Mean Dice that may be lost for a threshold in the middle of a plateau: few held-out cases do not
/// tell thresholds apart that differ by less.
const TOLERANCE: f64 = 0.001;

/// A slice of a held-out case, with its mask where none is rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
struct HeldOutSlice {
    case: usize,
    /// The best predicted IoU; `None` where there is no mask whatever the threshold.
    iou: Option<f32>,
    /// Pixels of mask and ground truth together, of the mask, of the ground truth.
    overlap: usize,
    predicted: usize,
    truth: usize,
}

/// Predicts all slices of the held-out cases without a threshold and chooses one.
pub(super) fn calibrate_presence(
    model: &Model,
    config: &TrainConfig,
    slices: &SliceDataset<'_>,
    progress: &dyn Progress,
) -> Result<PresenceCalibration> {
    let predictor = model.predictor();
    let prompting = PromptingConfig::new(config.mode, GRID, model.spec().mask_side());
    let prompting = match config.mode {
        Mode::Points => prompting.with_presence_threshold(0.0),
        Mode::Box => prompting,
    };
    progress.begin("calibrating", slices.len() as u64);
    let mut held_out = Vec::with_capacity(slices.len());
    for index in 0..slices.len() {
        progress.check_cancelled()?;
        let slice = slices.get(index)?;
        let prediction = predictor.predict(&slice.features, &prompting)?;
        let (mask, truth) = (prediction.mask.data(), slice.mask.data());
        held_out.push(HeldOutSlice {
            case: slice.case,
            iou: prediction.predicted_iou.filter(|iou| iou.is_finite()),
            overlap: mask.iter().zip(truth).filter(|(m, t)| **m > 0 && **t > 0).count(),
            predicted: prediction.mask.area(),
            truth: slice.mask.area(),
        });
        progress.advance(1, "held-out cases");
    }
    let chosen = choose_threshold(&held_out);
    progress.finish(&format!(
        "a predicted IoU above {:.3} says that a slice holds the structure: Dice of whole held-out \
         volumes {:.4}, {:.4} with a mask on every slice",
        chosen.threshold, chosen.dice, chosen.dice_without
    ));
    Ok(chosen)
}

/// The threshold in the middle of the plateau around the best mean Dice.
fn choose_threshold(slices: &[HeldOutSlice]) -> PresenceCalibration {
    let candidates = candidates(slices);
    let dice: Vec<f64> = candidates.iter().map(|t| mean_dice(slices, *t)).collect();
    let dice_without = mean_dice(slices, f32::NEG_INFINITY);
    let best = dice.iter().copied().fold(0.0, f64::max);
    let good = |n: &usize| dice.get(*n).is_some_and(|d| *d >= best - TOLERANCE);
    let peak = dice.iter().position(|d| *d >= best).unwrap_or(0);
    let first = (0..peak).rev().take_while(good).last().unwrap_or(peak);
    let last = (peak + 1..dice.len()).take_while(good).last().unwrap_or(peak);
    let at = |n: usize| candidates.get(n).copied().unwrap_or(0.0);
    let threshold = 0.5 * (at(first) + at(last));
    PresenceCalibration::new(threshold, mean_dice(slices, threshold), dice_without)
}

/// Thresholds that differ in the slices they reject: 0 or less, then between neighbouring IoUs.
fn candidates(slices: &[HeldOutSlice]) -> Vec<f32> {
    let mut ious: Vec<f32> = slices.iter().filter_map(|s| s.iou).collect();
    ious.sort_by(f32::total_cmp);
    ious.dedup();
    let lowest = ious.first().map_or(0.0, |iou| iou.min(0.0) - f32::EPSILON);
    let between = ious.windows(2).map(|pair| 0.5 * (pair[0] + pair[1]));
    std::iter::once(lowest).chain(between).collect()
}

/// Mean Dice of whole volumes where masks of slices with a predicted IoU up to `threshold` are
/// rejected. A volume without ground truth or prediction has a Dice of 1.
fn mean_dice(slices: &[HeldOutSlice], threshold: f32) -> f64 {
    let mut cases: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for slice in slices {
        let (overlap, sizes) = cases.entry(slice.case).or_default();
        *sizes += slice.truth;
        if slice.iou.is_some_and(|iou| iou > threshold) {
            *overlap += slice.overlap;
            *sizes += slice.predicted;
        }
    }
    let dice = |&(overlap, sizes): &(usize, usize)| match sizes {
        0 => 1.0,
        _ => 2.0 * overlap as f64 / sizes as f64,
    };
    cases.values().map(dice).sum::<f64>() / cases.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slice of 100 pixels of truth, or none, with a mask of 100 pixels.
    fn slice(case: usize, iou: f32, present: bool) -> HeldOutSlice {
        let truth = if present { 100 } else { 0 };
        HeldOutSlice { case, iou: Some(iou), overlap: truth, predicted: 100, truth }
    }

    #[test]
    fn the_threshold_lies_halfway_between_empty_and_labelled_slices() {
        let slices = [
            slice(0, 0.1, false),
            slice(0, 0.2, false),
            slice(0, 0.8, true),
            slice(0, 0.9, true),
            slice(1, 0.3, false),
            slice(1, 0.7, true),
        ];
        let chosen = choose_threshold(&slices);
        // By hand: all above 0.3 and up to 0.7 is right; without a threshold the first case has
        // 2 · 200 / (400 + 200), the second 2 · 100 / (200 + 100), both 2/3.
        assert!((chosen.threshold - 0.5).abs() < 1e-6, "{chosen:?}");
        assert_eq!(chosen.dice, 1.0);
        assert!((chosen.dice_without - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_plateau_is_taken_in_its_middle() {
        // Rejecting the faint slices at 0.4 and 0.6 costs less than the tolerance, by hand.
        let faint =
            |iou| HeldOutSlice { iou: Some(iou), overlap: 1, predicted: 1, truth: 1, case: 0 };
        let big = |iou| HeldOutSlice {
            iou: Some(iou),
            overlap: 10_000,
            predicted: 10_000,
            truth: 10_000,
            case: 0,
        };
        let empty = |iou| HeldOutSlice { overlap: 0, truth: 0, ..big(iou) };
        let chosen = choose_threshold(&[empty(0.2), faint(0.4), faint(0.6), big(0.8)]);
        // From (0.2 + 0.4) / 2 to (0.6 + 0.8) / 2.
        assert!((chosen.threshold - 0.5).abs() < 1e-6, "{chosen:?}");
    }

    #[test]
    fn useless_predictions_of_the_iou_reject_nothing() {
        let slices = [slice(0, 0.9, false), slice(0, 0.1, true), slice(0, 0.5, true)];
        let chosen = choose_threshold(&slices);
        assert!(chosen.threshold < 0.1 && chosen.dice == chosen.dice_without, "{chosen:?}");
        // Nothing to choose from: no slice has a mask.
        let none = [HeldOutSlice { iou: None, predicted: 0, overlap: 0, ..slice(0, 0.0, false) }];
        assert_eq!(choose_threshold(&none).dice, 1.0);
        assert!(choose_threshold(&[]).threshold.is_finite());
    }
}
