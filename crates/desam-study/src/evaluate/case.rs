//! Scores of one case.

use super::{BorderCut, ByMetric, ClassScore, EmptySlices, MetricValue};
use desam_data::cache::CacheCase;
use desam_metrics::metric::{CaseMetric, Empty, Score, VoxelGrid};
use serde::{Deserialize, Serialize};

/// Role of a case in the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A case of the source site, held out from training.
    SourceValidation,
    /// A case of a target site, which training never saw.
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
    /// Its role.
    pub role: Role,
    /// Dice over all its scored voxels, 0 to 1; of several classes the mean of theirs, as all metrics are.
    pub dice: f64,
    /// Slices that were predicted.
    pub slices: usize,
    /// Foreground of the ground truth, of all classes together: voxels of the label file (full and native
    /// protocol) or pixels of the `M × M` masks (paper protocol).
    pub truth_voxels: u64,
    /// Foreground of the prediction, in the same unit, after the border rule.
    pub predicted_voxels: u64,
    /// Volume of the ground truth, of all classes together, in ml; only under the full and the native
    /// protocol. The volume errors among `metrics` are means over the classes, whose own volumes are in
    /// `classes`.
    #[serde(default)]
    pub truth_ml: Option<f64>,
    /// Volume of the prediction, in ml, likewise.
    #[serde(default)]
    pub predicted_ml: Option<f64>,
    /// Ground truth within the zeroed border; present where there is a border.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub border: Option<BorderCut>,
    /// Prediction on slices without ground truth; only under the full protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_slices: Option<EmptySlices>,
    /// The value of each requested metric, as it counts in means.
    #[serde(default)]
    pub metrics: ByMetric<MetricValue>,
    /// The compared voxel grid, where a metric needed the voxel spacing: the label file's under the full
    /// protocol, the stack of the masks of all processed slices under the paper protocol.
    #[serde(default)]
    pub grid: Option<VoxelGrid>,
    /// The Dice that the model expected of its masks, 0 to 1, where it is calibrated
    /// ([`ConfidenceCalibration`](desam::model::ConfidenceCalibration)); of the slices that the protocol
    /// scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// The score of each class of a model of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassScore>,
    /// What is unlike the cases that the model was trained on, a sentence each; only under the full and the
    /// native protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl CaseScore {
    /// The masks that are empty, if any.
    pub fn empty(&self) -> Option<Empty> {
        match (self.predicted_voxels, self.truth_voxels) {
            (0, 0) => Some(Empty::Both),
            (0, _) => Some(Empty::Prediction),
            (_, 0) => Some(Empty::Truth),
            _ => None,
        }
    }

    /// The score by a metric; `None` where it was not requested.
    pub fn score(&self, metric: CaseMetric) -> Option<Score> {
        let own = (metric == CaseMetric::DICE).then_some(MetricValue(Some(self.dice)));
        let MetricValue(counted_as) = own.or_else(|| self.metrics.get(metric).copied())?;
        match (self.empty(), counted_as) {
            (Some(which), counted_as) => Some(Score::Empty { which, counted_as }),
            (None, value) => value.map(Score::Value),
        }
    }
}

/// A case that could not be scored, with the reason. It is in no mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnscoredCase {
    /// Its site.
    pub site: String,
    /// Its name within the site.
    pub case: String,
    /// Its role.
    pub role: Role,
    /// The reason.
    pub reason: String,
}

impl UnscoredCase {
    /// A case of a cache, with the reason.
    pub(super) fn of(case: &CacheCase, role: Role, reason: &str) -> Self {
        let (site, case) = (case.site.clone(), case.id.clone());
        Self { site, case, role, reason: reason.to_owned() }
    }
}
