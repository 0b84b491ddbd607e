//! Which slices of a volume hold the structure, decided by the volume as a whole.

use super::ClassPrediction;
use crate::PromptingConfig;
use desam_core::BinaryMask;

/// Predicted IoU halfway between its targets 0, of an empty slice, and 1.
const HALF: f32 = 0.5;

/// Removes the masks of slices outside the structure, by the rule of `prompting`: with
/// [`PresenceRule::Contiguous`](crate::PresenceRule::Contiguous), which the predictor of single slices
/// leaves to this; with the other rule nothing is left to do.
///
/// `slices` are those of a whole volume in their order, a prediction for each class. Each class is
/// decided alone. A structure occupies consecutive slices, and where predicted IoUs are too high or too low as a
/// whole, as at another site than the training site's, their order within the volume and the areas of the
/// masks still tell its end: a mask on an empty slice is small or fragmentary. A slice has the evidence
/// `n / 2 + a / 2`, with `n` its predicted IoU on a scale from the volume's lowest, at most ½, to its highest, and
/// `a` its mask's area as a share of the largest. Masks stay on the run of slices whose evidence above ½ has the
/// largest sum. No mask stays where no slice has a predicted IoU above the presence threshold; all stay where
/// the decoder predicts none.
pub fn keep_present_slices(slices: &mut [Vec<ClassPrediction>], prompting: &PromptingConfig) {
    let Some(threshold) = prompting.contiguous_threshold() else { return };
    let classes = slices.first().map_or(0, Vec::len);
    for class in 0..classes {
        let found: Vec<Option<Found>> =
            slices.iter().map(|slice| slice.get(class).and_then(Found::of)).collect();
        // Without a predicted IoU there is nothing to go by.
        if found.iter().all(Option::is_none) {
            continue;
        }
        let run = present_run(&found, threshold);
        for (_, slice) in slices.iter_mut().enumerate().filter(|(z, _)| !run.contains(z)) {
            slice.get_mut(class).into_iter().for_each(reject);
        }
    }
}

/// What is known of a slice's mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Its predicted IoU.
    pub iou: f32,
    /// Its pixels.
    pub area: usize,
}

impl Found {
    fn of((prediction, _): &ClassPrediction) -> Option<Self> {
        let iou = prediction.predicted_iou.filter(|iou| iou.is_finite())?;
        Some(Self { iou, area: prediction.mask.area() })
    }
}

/// The run of a volume's slices that [`keep_present_slices`] keeps; empty where there is none. A slice of which
/// nothing is known counts as empty.
pub fn present_run(slices: &[Option<Found>], threshold: f32) -> std::ops::Range<usize> {
    let known = || slices.iter().flatten();
    let highest = known().map(|s| s.iou).fold(f32::NEG_INFINITY, f32::max);
    let largest = known().map(|s| s.area).max().unwrap_or(0);
    if highest <= threshold || largest == 0 {
        return 0..0;
    }
    let lowest = known().map(|s| s.iou).fold(HALF, f32::min);
    let evidence = |slice: &Option<Found>| -> f64 {
        let Some(Found { iou, area }) = slice else { return 0.0 };
        // One level of predicted IoU tells no slices apart.
        let scale = f64::from(highest - lowest);
        let position = if scale > 0.0 { f64::from(iou - lowest) / scale } else { 1.0 };
        0.5 * position + 0.5 * *area as f64 / largest as f64
    };
    let mut best = (0.0, 0..0);
    let (mut sum, mut start) = (0.0, 0);
    for (z, slice) in slices.iter().enumerate() {
        sum += evidence(slice) - 0.5;
        if sum <= 0.0 {
            (sum, start) = (0.0, z + 1);
        } else if sum > best.0 {
            best = (sum, start..z + 1);
        }
    }
    best.1
}

/// Replaces a mask by an empty one.
fn reject((prediction, evidence): &mut ClassPrediction) {
    let (height, width) = (prediction.mask.height(), prediction.mask.width());
    prediction.mask = BinaryMask::empty(height, width);
    (prediction.mean_probability, prediction.confidence) = (None, None);
    evidence.logits.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::{SliceEvidence, SlicePrediction};
    use crate::{Mode, PresenceRule};

    fn found(slices: &[(f32, usize)]) -> Vec<Option<Found>> {
        slices.iter().map(|&(iou, area)| Some(Found { iou, area })).collect()
    }

    #[test]
    fn the_run_with_the_most_evidence_is_kept() {
        // By hand, with the lowest at 0 and the highest at 1: evidence 0.05, 0.6, 1, 0.8, 0.05, 0.55, so
        // sums above a half of −0.45, 0.1, 0.6, 0.9 up to slice 3, then 0.45 and 0.5.
        let slices = found(&[(0.0, 10), (0.6, 60), (1.0, 100), (0.8, 80), (0.0, 10), (0.7, 40)]);
        assert_eq!(present_run(&slices, 0.5), 1..4);
        // An uncertain slice between certain ones does not cut the structure.
        let slices = found(&[(0.1, 5), (0.9, 90), (0.4, 40), (1.0, 100), (0.1, 5)]);
        assert_eq!(present_run(&slices, 0.5), 1..4);
        // Predicted IoUs that are all too high are read by their order.
        let slices = found(&[(0.9, 5), (1.0, 90), (1.1, 100), (0.9, 5)]);
        assert_eq!(present_run(&slices, 0.5), 1..3);
    }

    #[test]
    fn a_volume_may_be_full_or_empty() {
        assert_eq!(present_run(&found(&[(0.8, 70), (0.9, 100), (0.8, 60)]), 0.5), 0..3);
        assert_eq!(present_run(&found(&[(0.3, 70), (0.4, 100)]), 0.5), 0..0);
        assert_eq!(present_run(&found(&[(0.9, 0), (0.8, 0)]), 0.5), 0..0);
        assert_eq!(present_run(&[], 0.5), 0..0);
        assert_eq!(present_run(&[None, None], 0.5), 0..0);
        // One slice, such as a two-dimensional image, is a matter of the threshold.
        assert_eq!(present_run(&found(&[(0.4, 9)]), 0.3), 0..1);
        assert_eq!(present_run(&found(&[(0.4, 9)]), 0.5), 0..0);
    }

    #[test]
    fn each_class_is_decided_alone_and_the_other_rule_changes_nothing() {
        let of = |iou: f32, area: usize| -> ClassPrediction {
            let pixels = (0..4).map(|n| u8::from(n < area)).collect();
            let mut slice = SlicePrediction::of_mask(BinaryMask::new(2, 2, pixels).unwrap());
            slice.predicted_iou = Some(iou);
            (slice, SliceEvidence { ious: vec![iou], logits: vec![1.0; 4], drawn: 1 })
        };
        let volume = || vec![vec![of(1.0, 4), of(0.0, 1)], vec![of(0.0, 1), of(1.0, 4)]];
        let areas = |slices: &[Vec<ClassPrediction>]| -> Vec<Vec<usize>> {
            slices.iter().map(|s| s.iter().map(|(p, _)| p.mask.area()).collect()).collect()
        };
        let prompting = PromptingConfig::new(Mode::Box, 1, 2).with_presence_threshold(0.5);
        let mut slices = volume();
        keep_present_slices(&mut slices, &prompting);
        assert_eq!(areas(&slices), areas(&volume()));
        let contiguous = prompting.with_presence_rule(PresenceRule::Contiguous);
        keep_present_slices(&mut slices, &contiguous);
        assert_eq!(areas(&slices), [[4, 0], [0, 4]]);
        assert!(slices[0][1].1.logits.is_empty() && slices[0][0].1.logits.len() == 4);
        // A decoder that predicts no IoU keeps all.
        let mut silent = volume();
        silent.iter_mut().flatten().for_each(|(slice, _)| slice.predicted_iou = None);
        keep_present_slices(&mut silent, &contiguous);
        assert_eq!(areas(&silent), areas(&volume()));
    }

    #[test]
    fn the_run_is_the_best_of_all_runs() {
        // A linear congruential generator, so that volumes of all kinds come up.
        let mut state = 7_u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        for _ in 0..500 {
            let slices: Vec<Found> = (0..1 + next(11))
                .map(|_| Found { iou: next(20) as f32 / 16.0, area: next(9) as usize })
                .collect();
            let kept = present_run(&slices.iter().copied().map(Some).collect::<Vec<_>>(), 0.25);
            let highest = slices.iter().map(|s| s.iou).fold(0.0, f32::max);
            let lowest = slices.iter().map(|s| s.iou).fold(0.5, f32::min);
            let largest = slices.iter().map(|s| s.area).max().unwrap();
            if highest <= 0.25 || largest == 0 {
                assert!(kept.is_empty(), "{slices:?}");
                continue;
            }
            let sum = |run: std::ops::Range<usize>| -> f64 {
                let of = |s: &Found| {
                    let level =
                        if highest > lowest { (s.iou - lowest) / (highest - lowest) } else { 1.0 };
                    0.5 * f64::from(level) + 0.5 * s.area as f64 / largest as f64 - 0.5
                };
                slices[run].iter().map(of).sum()
            };
            let all = (0..slices.len()).flat_map(|a| (a..=slices.len()).map(move |b| a..b));
            let most = all.map(&sum).fold(0.0, f64::max);
            assert!((sum(kept) - most).abs() < 1e-6, "{slices:?}");
        }
    }
}
