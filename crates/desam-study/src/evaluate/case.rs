//! What an evaluation says of one case.

use super::{BorderCut, ByMetric, Measured};
use desam_metrics::metric::{CaseMetric, Empty, Score, VoxelGrid};
use serde::{Deserialize, Serialize};

/// What a case was to the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Of the source site, held out from training.
    SourceValidation,
    /// Of a site that training never saw.
    Target,
}

impl Role {
    /// One word, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::SourceValidation => "validation",
            Self::Target => "target",
        }
    }
}

/// The score of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseScore {
    /// Its site.
    pub site: String,
    /// Its name within the site.
    pub case: String,
    /// What it was to the training.
    pub role: Role,
    /// Dice over all its scored voxels, 0 to 1.
    pub dice: f64,
    /// Slices that were predicted.
    pub slices: usize,
    /// Foreground of the ground truth: voxels of the label file (full protocol) or pixels of the
    /// `M × M` masks (paper protocol).
    pub truth_voxels: u64,
    /// Foreground of the prediction, counted alike, after the border rule.
    pub predicted_voxels: u64,
    /// Volume of the ground truth, in ml; full protocol alone.
    #[serde(default)]
    pub truth_ml: Option<f64>,
    /// Volume of the prediction, in ml; full protocol alone.
    #[serde(default)]
    pub predicted_ml: Option<f64>,
    /// Truth within the border, where predictions are cleared; where there is a border.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub border: Option<BorderCut>,
    /// What each metric that was asked for counts this case as.
    #[serde(default)]
    pub metrics: ByMetric<Measured>,
    /// The voxels that were compared, where a metric needed to know how far apart they are: the
    /// label file's under the full protocol, the stack of the masks of all processed slices under
    /// the paper protocol.
    #[serde(default)]
    pub grid: Option<VoxelGrid>,
}

impl CaseScore {
    /// Which masks are empty, if any.
    pub fn empty(&self) -> Option<Empty> {
        match (self.predicted_voxels, self.truth_voxels) {
            (0, 0) => Some(Empty::Both),
            (0, _) => Some(Empty::Prediction),
            (_, 0) => Some(Empty::Truth),
            _ => None,
        }
    }

    /// What a metric says of it; `None` where it was not asked for.
    pub fn score(&self, metric: CaseMetric) -> Option<Score> {
        let own = (metric == CaseMetric::DICE).then_some(Measured(Some(self.dice)));
        let Measured(counted_as) = own.or_else(|| self.metrics.get(metric).copied())?;
        match (self.empty(), counted_as) {
            (Some(which), counted_as) => Some(Score::Empty { which, counted_as }),
            (None, value) => value.map(Score::Value),
        }
    }
}

/// A case that could not be scored, and why. It is in no mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnscoredCase {
    /// Its site.
    pub site: String,
    /// Its name within the site.
    pub case: String,
    /// What it was to the training.
    pub role: Role,
    /// Why it was not scored.
    pub reason: String,
}
