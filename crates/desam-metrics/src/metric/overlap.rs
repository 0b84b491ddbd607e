//! Dice, Jaccard, precision and recall over the voxels of one case.

use super::Confusion;
use desam_core::{Result, named};

named! {
    /// A measure of overlap between two masks.
    #[derive(PartialOrd, Ord)]
    pub enum Overlap: "measure of overlap" {
        /// Dice coefficient (F1 score), `2 tp / (2 tp + fp + fn)`.
        Dice = "dice",
        /// Jaccard index (intersection over union), `tp / (tp + fp + fn)`.
        Jaccard = "jaccard",
        /// Precision (positive predictive value), `tp / (tp + fp)`.
        Precision = "precision",
        /// Recall (sensitivity), `tp / (tp + fn)`.
        Recall = "recall",
    }
}

named! {
    /// Score of a case whose truth and prediction are both empty, where every measure is 0 / 0.
    ///
    /// Only this case is a matter of convention. A case that is empty on one side alone was missed or
    /// is a false positive, and scores 0 by every measure under every policy: it is never left out of
    /// a mean.
    #[derive(Default)]
    pub enum BothEmpty: "score of an empty case" {
        /// 1: nothing was there and nothing was found (MONAI with `ignore_empty=False`).
        #[default]
        Perfect = "perfect",
        /// 0, as in medpy, which the official program scores with.
        Zero = "zero",
        /// No value; the caller reports how many such cases there were.
        Undefined = "undefined",
    }
}

impl Overlap {
    /// The measure's value for the counts of one case; `None` where no voxel was counted, or where
    /// both masks are empty and `both_empty` is [`BothEmpty::Undefined`].
    pub fn of(self, counts: &Confusion, both_empty: BothEmpty) -> Option<f64> {
        if counts.total() == 0 {
            return None;
        }
        if counts.predicted() + counts.present() == 0 {
            return match both_empty {
                BothEmpty::Perfect => Some(1.0),
                BothEmpty::Zero => Some(0.0),
                BothEmpty::Undefined => None,
            };
        }
        let tp = counts.tp as f64;
        let (numerator, denominator) = match self {
            Self::Dice => (2.0 * tp, (counts.predicted() + counts.present()) as f64),
            Self::Jaccard => (tp, (counts.predicted() + counts.fn_) as f64),
            Self::Precision => (tp, counts.predicted() as f64),
            Self::Recall => (tp, counts.present() as f64),
        };
        // Precision of an empty prediction, recall of an empty truth: 0, as medpy has it.
        Some(if denominator > 0.0 { numerator / denominator } else { 0.0 })
    }
}

/// Accumulator of one measure of overlap over the pieces of a case. Counts are summed before
/// anything is divided: the value is that of the whole case, not a mean over its slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverlapMetric {
    measure: Overlap,
    both_empty: BothEmpty,
    counts: Confusion,
}

impl OverlapMetric {
    /// A metric without any voxels yet.
    pub fn new(measure: Overlap, both_empty: BothEmpty) -> Self {
        Self { measure, both_empty, counts: Confusion::default() }
    }

    /// Dice under the default policy.
    pub fn dice() -> Self {
        Self::new(Overlap::Dice, BothEmpty::default())
    }

    /// Jaccard under the default policy.
    pub fn jaccard() -> Self {
        Self::new(Overlap::Jaccard, BothEmpty::default())
    }

    /// Precision under the default policy.
    pub fn precision() -> Self {
        Self::new(Overlap::Precision, BothEmpty::default())
    }

    /// Recall under the default policy.
    pub fn recall() -> Self {
        Self::new(Overlap::Recall, BothEmpty::default())
    }

    /// The measure.
    pub fn measure(&self) -> Overlap {
        self.measure
    }

    /// The counts so far.
    pub fn counts(&self) -> &Confusion {
        &self.counts
    }

    /// Adds one more piece of the case (a slice, a slab or all of it), voxel by voxel, foreground
    /// above zero.
    ///
    /// # Errors
    /// When the two have different lengths.
    pub fn update(&mut self, prediction: &[u8], truth: &[u8]) -> Result<()> {
        self.counts += Confusion::count(prediction, truth)?;
        Ok(())
    }

    /// The value over all pieces; `None` where it is not defined.
    pub fn compute(&self) -> Option<f64> {
        self.measure.of(&self.counts, self.both_empty)
    }

    /// Forgets all pieces, to start another case.
    pub fn reset(&mut self) {
        self.counts = Confusion::default();
    }
}
