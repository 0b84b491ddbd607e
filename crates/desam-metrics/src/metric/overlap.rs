//! Dice, Jaccard, precision and recall over the voxels of one case.

use super::Confusion;
use desam_core::{Metric, Result};

/// Which measure of overlap.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// `2 tp / (2 tp + fp + fn)`.
    Dice,
    /// `tp / (tp + fp + fn)`.
    Jaccard,
    /// `tp / (tp + fp)`.
    Precision,
    /// `tp / (tp + fn)`, also called sensitivity.
    Recall,
}

/// What a case counts as whose truth and prediction are both empty, where every measure is 0 / 0.
///
/// Only this case is a matter of taste. One that is empty on one side alone was missed or
/// invented, and is 0 by every measure under every policy: it never drops out of a mean.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum BothEmpty {
    /// 1: nothing was there and nothing was found (MONAI with `ignore_empty=False`).
    #[default]
    Perfect,
    /// 0, as medpy says, which the official program scores with.
    Zero,
    /// No value; the caller says how many such cases there were.
    Undefined,
}

impl Overlap {
    /// Its value for counts of one case; `None` where no voxel was counted, or where both sides
    /// are empty and `both_empty` says so.
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

    /// Lower-case name, for tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dice => "dice",
            Self::Jaccard => "jaccard",
            Self::Precision => "precision",
            Self::Recall => "recall",
        }
    }
}

/// One measure of overlap, fed piece by piece. Counts are added up before anything is divided:
/// the value is that of the whole case, not a mean over its slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverlapMetric {
    measure: Overlap,
    both_empty: BothEmpty,
    counts: Confusion,
}

impl OverlapMetric {
    /// A metric that has seen nothing.
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

    /// Which measure it is.
    pub fn measure(&self) -> Overlap {
        self.measure
    }

    /// What it has counted.
    pub fn counts(&self) -> &Confusion {
        &self.counts
    }
}

impl Metric for OverlapMetric {
    type Value = f64;

    fn update(&mut self, prediction: &[u8], truth: &[u8]) -> Result<()> {
        self.counts += Confusion::count(prediction, truth)?;
        Ok(())
    }

    fn compute(&self) -> Option<f64> {
        self.measure.of(&self.counts, self.both_empty)
    }

    fn reset(&mut self) {
        self.counts = Confusion::default();
    }
}
