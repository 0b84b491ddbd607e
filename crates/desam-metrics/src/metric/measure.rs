//! Metrics of one case, with shared intermediate results computed once.

use super::surface::Surfaces;
use super::{BothEmpty, CaseMetric, Confusion, Empty, EmptyPolicy, MaskPair, OneEmpty, Score};
use crate::Result;

/// The quantile of HD95 and robust HD95.
const PERCENTILE_95: f64 = 0.95;

/// Measures of one case. Surfaces and distances are computed lazily, for the first metric that needs
/// them, and once.
///
/// ```
/// use desam_metrics::metric::{CaseMeasures, CaseMetric, EmptyPolicy, MaskPair, VoxelGrid};
///
/// # fn main() -> Result<(), desam_metrics::Error> {
/// let grid = VoxelGrid { shape: [1, 2, 4], spacing_mm: [3.0, 0.5, 0.5] };
/// let pair = MaskPair::new(&[1, 1, 1, 0, 0, 0, 0, 0], &[1, 1, 0, 0, 0, 0, 0, 0], grid)?;
/// let case = CaseMeasures::new(pair, EmptyPolicy::default())?;
/// let metrics: [CaseMetric; 2] = ["dice".parse()?, "hd_mm".parse()?];
/// let [dice, hausdorff] = metrics.map(|m| case.score(m).counted());
/// assert_eq!((dice, hausdorff), (Some(0.8), Some(0.5)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CaseMeasures<'a> {
    pair: MaskPair<'a>,
    policy: EmptyPolicy,
    counts: Confusion,
    surfaces: Surfaces,
}

impl<'a> CaseMeasures<'a> {
    /// Counts the voxels of a pair. `policy` defines the scores where a mask is empty.
    ///
    /// # Errors
    /// When the masks cannot be counted.
    pub fn new(pair: MaskPair<'a>, policy: EmptyPolicy) -> Result<Self> {
        let counts = Confusion::count(pair.prediction(), pair.truth())?;
        Ok(Self { pair, policy, counts, surfaces: Surfaces::default() })
    }

    /// The score by one metric.
    pub fn score(&self, metric: CaseMetric) -> Score {
        match Empty::of(&self.counts) {
            None => Score::Value(self.value(metric)),
            Some(which) => Score::Empty { which, counted_as: self.of_empty(metric, which) },
        }
    }

    /// The scores by several metrics, in their order.
    pub fn scores(&self, metrics: &[CaseMetric]) -> Vec<Score> {
        metrics.iter().map(|m| self.score(*m)).collect()
    }

    /// The voxel counts.
    pub fn counts(&self) -> &Confusion {
        &self.counts
    }

    /// The metric's value where neither mask is empty.
    fn value(&self, metric: CaseMetric) -> f64 {
        let voxels = || self.surfaces.voxels(&self.pair);
        let elements = || self.surfaces.elements(&self.pair);
        match metric {
            // Neither mask is empty, so the value is defined.
            CaseMetric::Overlap(overlap) => {
                overlap.of(&self.counts, self.policy.both).unwrap_or(0.0)
            }
            CaseMetric::Hausdorff => voxels().hausdorff(),
            CaseMetric::Hausdorff95 => voxels().percentile(PERCENTILE_95),
            CaseMetric::AverageDistance => voxels().average(),
            CaseMetric::AverageSymmetricDistance => voxels().average_both_ways(),
            CaseMetric::SurfaceDice { tolerance_mm } => elements().surface_dice(tolerance_mm),
            CaseMetric::RobustHausdorff95 => elements().robust_hausdorff(PERCENTILE_95),
            CaseMetric::VolumeError => self.excess() * self.pair.grid().voxel_ml(),
            CaseMetric::RelativeVolumeError => self.excess() / self.counts.present() as f64,
        }
    }

    /// The metric's value under the [`EmptyPolicy`].
    fn of_empty(&self, metric: CaseMetric, which: Empty) -> Option<f64> {
        let both = which == Empty::Both;
        match metric {
            CaseMetric::Overlap(overlap) => overlap.of(&self.counts, self.policy.both),
            CaseMetric::VolumeError => Some(self.value(metric)),
            CaseMetric::RelativeVolumeError if which == Empty::Prediction => Some(-1.0),
            CaseMetric::SurfaceDice { .. } if both => match self.policy.both {
                BothEmpty::Perfect => Some(1.0),
                BothEmpty::Zero => Some(0.0),
                BothEmpty::Undefined => None,
            },
            CaseMetric::SurfaceDice { .. } => Some(0.0),
            _ if both => (self.policy.both == BothEmpty::Perfect).then_some(0.0),
            _ => match self.policy.one {
                OneEmpty::LeftOut => None,
                OneEmpty::Infinite => Some(f64::INFINITY),
                // A share of nothing has no largest value, as distances have with the diagonal.
                OneEmpty::Diagonal if metric == CaseMetric::RelativeVolumeError => None,
                OneEmpty::Diagonal => Some(self.pair.grid().diagonal_mm()),
            },
        }
    }

    /// Predicted minus true voxels.
    fn excess(&self) -> f64 {
        self.counts.predicted() as f64 - self.counts.present() as f64
    }
}
