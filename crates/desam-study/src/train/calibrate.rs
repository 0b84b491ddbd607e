//! Calibration of a trained model on the held-out cases: the presence threshold, and the confidence.
//!
//! A model that was trained on empty slices predicts an IoU near 0 where there is nothing. How near
//! depends on the data, so the threshold above which a slice gets a mask is chosen on the held-out
//! cases: the one with the best mean Dice of whole volumes. With style views these cases count in each
//! view, since other scanners lower the predictions of slices that do hold the structure.

use super::TrainConfig;
use super::trainer::SliceDataset;
use crate::Result;
use desam::model::{ConfidenceCalibration, PresenceCalibration};
use desam::predict::{Found, class_map, present_run};
use desam::{Mode, Model, PAPER_GRID, PresenceRule, PromptingConfig};
use desam_core::Progress;
use std::collections::BTreeMap;

/// The threshold that the targets 0 and 1 suggest.
const NATURAL: f32 = 0.5;

/// Mean Dice that may be lost for a threshold nearer to [`NATURAL`]: a handful of held-out cases of the
/// training site does not tell such thresholds apart, and at other sites predictions are less sure.
const TOLERANCE: f64 = 0.005;

/// A slice of a held-out case, with its mask where none is rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
struct HeldOutSlice {
    /// The case, its style view, and the class.
    volume: (usize, usize, usize),
    /// Its place in the volume.
    z: usize,
    /// The best predicted IoU; `None` where there is no mask whatever the threshold.
    iou: Option<f32>,
    /// Pixels of mask and ground truth together, of the mask, of the ground truth.
    overlap: usize,
    predicted: usize,
    truth: usize,
    /// Mean probability of the mask's pixels.
    mean_probability: Option<f32>,
}

impl HeldOutSlice {
    /// Dice of the mask; 1 where both are empty.
    fn dice(&self) -> f64 {
        match self.predicted + self.truth {
            0 => 1.0,
            sum => 2.0 * self.overlap as f64 / sum as f64,
        }
    }
}

/// What is known of a model from its held-out cases.
pub(super) struct Calibration {
    /// The presence threshold, where the predicted IoU is trained on all slices.
    pub(super) presence: Option<PresenceCalibration>,
    /// The confidence, unless there are too few slices.
    pub(super) confidence: Option<ConfidenceCalibration>,
}

/// Predicts all slices of the held-out cases: without a threshold, of which one is chosen, where training
/// was on all slices.
pub(super) fn calibrate(
    model: &Model,
    config: &TrainConfig,
    slices: &SliceDataset<'_>,
    progress: &dyn Progress,
) -> Result<Calibration> {
    let predictor = model.predictor();
    let prompting = PromptingConfig::new(config.mode, PAPER_GRID, model.spec().mask_side());
    let thresholds = config.calibrates_presence();
    let prompting = match config.mode {
        Mode::Points if thresholds => prompting.with_presence_threshold(0.0),
        Mode::Points | Mode::Box => prompting,
    };
    progress.begin("calibrating", slices.len() as u64);
    let mut held_out = Vec::with_capacity(slices.len());
    for index in 0..slices.len() {
        progress.check_cancelled()?;
        let slice = slices.get(index)?;
        let classes = predictor.predict_classes(&slice.features, &prompting)?;
        let map = class_map(&classes)?;
        for (class, (prediction, _)) in (1..).zip(classes) {
            let (mask, truth) = (map.class(class), slice.mask.class(class));
            let pixels = mask.data().iter().zip(truth.data());
            held_out.push(HeldOutSlice {
                volume: (slice.case, slice.view, class),
                z: slice.z,
                iou: prediction.predicted_iou.filter(|iou| iou.is_finite()),
                overlap: pixels.filter(|(m, t)| **m > 0 && **t > 0).count(),
                predicted: mask.area(),
                truth: truth.area(),
                mean_probability: prediction.mean_probability,
            });
        }
        progress.advance(1, "held-out cases");
    }
    let presence = thresholds.then(|| choose_rule(&held_out));
    // Without a presence threshold a mask counts whatever its predicted IoU.
    let drawn = presence.map_or_else(|| vec![true; held_out.len()], |p| drawn(&held_out, &p));
    let rated: Vec<(f32, f64)> = held_out
        .iter()
        .zip(drawn)
        .filter_map(|(slice, drawn)| drawn.then_some(slice))
        .filter_map(|slice| Some((slice.mean_probability?, slice.dice())))
        .collect();
    let threshold = presence.map(|chosen| {
        let rule = match chosen.rule {
            PresenceRule::Slice => {
                format!("a predicted IoU above {:.3} says that a slice holds", chosen.threshold)
            }
            PresenceRule::Contiguous => {
                "predicted IoU and area say which run of slices holds".to_owned()
            }
        };
        format!(
            "{rule} the structure: Dice of whole held-out volumes {:.4}, {:.4} with a mask on every slice",
            chosen.dice, chosen.dice_without
        )
    });
    let confidence = ConfidenceCalibration::fit(&rated);
    let summary = confidence_summary(confidence.as_ref(), rated.len());
    progress.finish(&match threshold {
        Some(threshold) => format!("{threshold}; {summary}"),
        None => summary,
    });
    Ok(Calibration { presence, confidence })
}

/// What the confidence was calibrated on, or why there is none.
fn confidence_summary(confidence: Option<&ConfidenceCalibration>, masks: usize) -> String {
    let least = ConfidenceCalibration::LEAST_SLICES;
    match confidence {
        Some(_) => format!("confidence calibrated on {masks} held-out masks"),
        None => format!(
            "no confidence: it needs {least} masks of held-out slices, {} predicted",
            match masks {
                0 => "none was".to_owned(),
                1 => "1 was".to_owned(),
                more => format!("{more} were"),
            }
        ),
    }
}

/// The rule for the model's record: volumes as a whole, which does better at sites unlike the training site's,
/// unless that loses more than [`TOLERANCE`] on the held-out cases, as for a structure in several
/// pieces.
fn choose_rule(slices: &[HeldOutSlice]) -> PresenceCalibration {
    let each_alone = choose_threshold(slices);
    // No held-out volume is empty as a whole: one that is need not reach the threshold of a slice.
    let mut whole = each_alone.contiguous(0.0);
    whole.threshold = whole.threshold.min(NATURAL);
    let dice = dice_of(slices, &drawn(slices, &whole));
    if dice >= each_alone.dice - TOLERANCE { whole.contiguous(dice) } else { each_alone }
}

/// Which of the slices keep their masks by a rule.
fn drawn(slices: &[HeldOutSlice], rule: &PresenceCalibration) -> Vec<bool> {
    let least = rule.threshold;
    if rule.rule == PresenceRule::Slice {
        return slices.iter().map(|slice| slice.iou.is_some_and(|iou| iou > least)).collect();
    }
    let mut volumes: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, slice) in slices.iter().enumerate() {
        volumes.entry(slice.volume).or_default().push(index);
    }
    let mut drawn = vec![false; slices.len()];
    for mut indices in volumes.into_values() {
        indices.sort_by_key(|&index| slices.get(index).map(|slice| slice.z));
        let found: Vec<Option<Found>> = indices
            .iter()
            .map(|&index| {
                let slice = slices.get(index)?;
                Some(Found { iou: slice.iou?, area: slice.predicted })
            })
            .collect();
        let run = indices.get(present_run(&found, least)).unwrap_or_default();
        run.iter().filter_map(|&index| drawn.get_mut(index).map(|d| *d = true)).for_each(drop);
    }
    drawn
}

/// The threshold nearest to [`NATURAL`] of those with the best mean Dice, within [`TOLERANCE`].
fn choose_threshold(slices: &[HeldOutSlice]) -> PresenceCalibration {
    let dice = |threshold: f32| mean_dice(slices, threshold);
    let scored: Vec<(f32, f64)> = candidates(slices).into_iter().map(|t| (t, dice(t))).collect();
    let best = scored.iter().map(|(_, dice)| *dice).fold(0.0, f64::max);
    let good = scored.iter().filter(|(_, dice)| *dice >= best - TOLERANCE);
    let distance = |threshold: f32| (threshold - NATURAL).abs();
    let chosen = good.min_by(|a, b| distance(a.0).total_cmp(&distance(b.0)));
    let (threshold, dice_with) = chosen.copied().unwrap_or((NATURAL, dice(NATURAL)));
    PresenceCalibration::new(threshold, dice_with, dice(f32::NEG_INFINITY))
}

/// Thresholds that differ in the slices they reject: [`NATURAL`], 0 or less, then between neighbouring
/// IoUs.
fn candidates(slices: &[HeldOutSlice]) -> Vec<f32> {
    let mut ious: Vec<f32> = slices.iter().filter_map(|s| s.iou).collect();
    ious.sort_by(f32::total_cmp);
    ious.dedup();
    let lowest = ious.first().map_or(0.0, |iou| iou.min(0.0) - f32::EPSILON);
    let between = ious.windows(2).map(|pair| 0.5 * (pair[0] + pair[1]));
    [NATURAL, lowest].into_iter().chain(between).collect()
}

/// Mean Dice of whole volumes where masks of slices with a predicted IoU up to `threshold` are
/// rejected, each class on its own. A volume without ground truth or prediction has a Dice of 1.
fn mean_dice(slices: &[HeldOutSlice], threshold: f32) -> f64 {
    let drawn = slices.iter().map(|slice| slice.iou.is_some_and(|iou| iou > threshold));
    dice_of(slices, &drawn.collect::<Vec<_>>())
}

/// Mean Dice of whole volumes where slices have their masks if they are `drawn`, each class alone.
fn dice_of(slices: &[HeldOutSlice], drawn: &[bool]) -> f64 {
    let mut cases: BTreeMap<(usize, usize, usize), (usize, usize)> = BTreeMap::new();
    for (slice, drawn) in slices.iter().zip(drawn) {
        let (overlap, sizes) = cases.entry(slice.volume).or_default();
        *sizes += slice.truth;
        if *drawn {
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
        HeldOutSlice {
            volume: (case, 0, 1),
            z: 0,
            iou: Some(iou),
            overlap: truth,
            predicted: 100,
            truth,
            mean_probability: None,
        }
    }

    #[test]
    fn slices_that_a_half_tells_apart_need_no_other_threshold() {
        let slices = [
            slice(0, 0.1, false),
            slice(0, 0.2, false),
            slice(0, 0.8, true),
            slice(0, 0.9, true),
            slice(1, 0.3, false),
            slice(1, 0.7, true),
        ];
        let chosen = choose_threshold(&slices);
        // By hand: without a threshold the first case has 2 · 200 / (400 + 200), the second
        // 2 · 100 / (200 + 100), both 2/3.
        assert_eq!((chosen.threshold, chosen.dice), (0.5, 1.0));
        assert!((chosen.dice_without - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn another_threshold_must_be_worth_it() {
        // By hand, empty slices up to 0.65 and labelled ones from 0.8: between them, as near to a half as
        // can be, lies 0.725.
        let slices = [slice(0, 0.6, false), slice(0, 0.65, false), slice(0, 0.8, true)];
        let chosen = choose_threshold(&slices);
        assert!((chosen.threshold - 0.725).abs() < 1e-6 && chosen.dice == 1.0, "{chosen:?}");
        // One voxel invented above a half, of 20000, is not.
        let big = |iou| HeldOutSlice {
            overlap: 10_000,
            predicted: 10_000,
            truth: 10_000,
            ..slice(0, iou, true)
        };
        let faint = HeldOutSlice { predicted: 1, ..slice(0, 0.6, false) };
        assert_eq!(choose_threshold(&[big(0.8), faint]).threshold, 0.5);
    }

    #[test]
    fn volumes_are_decided_as_a_whole_unless_that_costs() {
        let at = |z: usize, iou: f32, present: bool| HeldOutSlice { z, ..slice(0, iou, present) };
        // In any order of the data set: empty, three with the structure, empty; the faint one is kept as
        // its neighbours are.
        let middle = [at(3, 0.9, true), at(0, 0.1, false), at(2, 0.4, true), at(1, 0.9, true)];
        let ends = [at(4, 0.1, false)];
        let slices = [&middle[..], &ends].concat();
        let chosen = choose_rule(&slices);
        assert_eq!((chosen.rule, chosen.dice), (PresenceRule::Contiguous, 1.0));
        assert!(chosen.threshold <= 0.5, "{chosen:?}");
        assert_eq!(drawn(&slices, &chosen), [true, false, true, true, false]);
        // A structure in two pieces, far apart.
        let pieces = [true, true, false, false, false, false, false, false, true, true];
        let pieces = pieces.iter().zip(0..);
        let slices: Vec<_> =
            pieces.map(|(&there, z)| at(z, if there { 1.0 } else { 0.0 }, there)).collect();
        let slices: Vec<_> = slices
            .into_iter()
            .map(|s| HeldOutSlice { predicted: if s.truth > 0 { 100 } else { 1 }, ..s })
            .collect();
        let chosen = choose_rule(&slices);
        assert_eq!((chosen.rule, chosen.threshold), (PresenceRule::Slice, 0.5));
        assert!(chosen.dice > 0.99, "{chosen:?}");
    }

    #[test]
    fn a_calibration_says_what_it_is_made_of_or_why_there_is_none() {
        let rated = vec![(0.5, 0.5); ConfidenceCalibration::LEAST_SLICES];
        let summary = |rated: &[(f32, f64)]| {
            confidence_summary(ConfidenceCalibration::fit(rated).as_ref(), rated.len())
        };
        assert_eq!(summary(&rated), "confidence calibrated on 10 held-out masks");
        let few = summary(&rated[1..]);
        assert_eq!(few, "no confidence: it needs 10 masks of held-out slices, 9 were predicted");
        assert!(summary(&[]).ends_with("none was predicted"), "{}", summary(&[]));
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
