//! Predictions on slices without ground truth: what a whole volume loses against its labelled slices.

use super::summarise::mean;
use super::{CaseScore, Evaluation, Role};
use serde::{Deserialize, Serialize};

/// Prediction on the slices of a case that hold no ground truth, and the Dice without them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EmptySlices {
    /// Slices of the volume without ground truth.
    pub slices: usize,
    /// Those of them with a mask, which is all false positive.
    pub with_mask: usize,
    /// Predicted voxels on them.
    pub predicted_voxels: u64,
    /// Slices with ground truth that got no mask.
    pub missed: usize,
    /// Dice over the slices with ground truth alone, 0 to 1; 0 where there are none.
    pub labelled_dice: f64,
}

/// Voxels of one slice.
#[derive(Debug, Clone, Copy, Default)]
struct SliceCounts {
    predicted: u64,
    truth: u64,
    overlap: u64,
}

impl EmptySlices {
    /// Counts along `axis` (0, 1 or 2 for `i`, `j` or `k`) of masks of `shape` `[k, j, i]`, stored with
    /// `i` fastest.
    pub(super) fn of(prediction: &[u8], truth: &[u8], shape: [usize; 3], axis: usize) -> Self {
        let [depth, height, width] = shape;
        let mut slices = vec![SliceCounts::default(); [width, height, depth][axis.min(2)]];
        let lines = prediction.chunks_exact(width.max(1)).zip(truth.chunks_exact(width.max(1)));
        for (line, (predicted, truth)) in lines.enumerate() {
            for (i, (p, t)) in predicted.iter().zip(truth).enumerate() {
                if *p == 0 && *t == 0 {
                    continue;
                }
                let at = [i, line % height, line / height][axis.min(2)];
                if let Some(counts) = slices.get_mut(at) {
                    counts.predicted += u64::from(*p > 0);
                    counts.truth += u64::from(*t > 0);
                    counts.overlap += u64::from(*p > 0 && *t > 0);
                }
            }
        }
        let empty = || slices.iter().filter(|s| s.truth == 0);
        let labelled = || slices.iter().filter(|s| s.truth > 0);
        let sum = |of: fn(&SliceCounts) -> u64| labelled().map(of).sum::<u64>() as f64;
        let sizes = sum(|s| s.predicted) + sum(|s| s.truth);
        Self {
            slices: empty().count(),
            with_mask: empty().filter(|s| s.predicted > 0).count(),
            predicted_voxels: empty().map(|s| s.predicted).sum(),
            missed: labelled().filter(|s| s.predicted == 0).count(),
            labelled_dice: if sizes > 0.0 { 2.0 * sum(|s| s.overlap) / sizes } else { 0.0 },
        }
    }
}

impl Evaluation {
    /// How much whole volumes lose on slices without ground truth, in one line: over the target sites,
    /// or the source sites' held-out cases where no target was scored. `None` where it was not counted.
    pub(crate) fn empty_slices_line(&self) -> Option<String> {
        let role = match self.targets().next() {
            Some(_) => Role::Target,
            None => Role::SourceValidation,
        };
        let sites = self.sites.iter().filter(|s| s.role == role);
        let counted = |site: &str| -> Option<Vec<(&CaseScore, EmptySlices)>> {
            self.site_cases(site).map(|case| Some((case, case.empty_slices?))).collect()
        };
        let sites: Vec<_> = sites.map(|s| counted(&s.site)).collect::<Option<_>>()?;
        let over_sites = |of: fn(&(&CaseScore, EmptySlices)) -> f64| {
            let means =
                sites.iter().filter_map(|cases| mean(&cases.iter().map(of).collect::<Vec<_>>()));
            mean(&means.collect::<Vec<_>>())
        };
        let whole = over_sites(|(case, _)| case.dice)?;
        let labelled = over_sites(|(_, empty)| empty.labelled_dice)?;
        let sum = |of: fn(&EmptySlices) -> usize| -> usize {
            sites.iter().flatten().map(|(_, empty)| of(empty)).sum()
        };
        Some(format!(
            "on slices with ground truth alone: Dice {:.2} %; whole volumes lose {:.2} points: {} of \
             {} slices without ground truth have a mask, {} with ground truth have none",
            100.0 * labelled,
            100.0 * (labelled - whole),
            sum(|e| e.with_mask),
            sum(|e| e.slices),
            sum(|e| e.missed),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_without_ground_truth_are_counted() {
        // By hand, four slices of 2 × 1 along k: right, half right, invented, empty.
        let prediction = [1, 1, 1, 0, 0, 1, 0, 0];
        let truth = [1, 1, 1, 1, 0, 0, 0, 0];
        let found = EmptySlices::of(&prediction, &truth, [4, 1, 2], 2);
        assert_eq!((found.slices, found.with_mask, found.predicted_voxels), (2, 1, 1));
        assert_eq!(found.missed, 0);
        // 2 · 3 / (3 + 4).
        assert!((found.labelled_dice - 6.0 / 7.0).abs() < 1e-12);
        // Along i both slices hold ground truth.
        let along_i = EmptySlices::of(&prediction, &truth, [4, 1, 2], 0);
        assert_eq!((along_i.slices, along_i.missed), (0, 0));
        let nothing = EmptySlices::of(&[0; 8], &truth, [4, 1, 2], 2);
        assert_eq!((nothing.missed, nothing.labelled_dice), (2, 0.0));
        assert_eq!(EmptySlices::of(&[1; 8], &[0; 8], [4, 1, 2], 2).labelled_dice, 0.0);
    }
}
