//! Scores of the classes of a model of several.

use super::{ByMetric, MetricSummary, MetricValue, OverallSummary};
use desam_metrics::metric::{CaseMetric, Empty, Score};
use serde::{Deserialize, Serialize};

/// The score of one class of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassScore {
    /// The class.
    pub class: String,
    /// Dice over the case's scored voxels, 0 to 1.
    pub dice: f64,
    /// Its voxels in the ground truth.
    pub truth_voxels: u64,
    /// Its voxels in the prediction.
    pub predicted_voxels: u64,
    /// Its volume in the ground truth, in ml; only under the full and the native protocol.
    #[serde(default)]
    pub truth_ml: Option<f64>,
    /// Its volume in the prediction, in ml.
    #[serde(default)]
    pub predicted_ml: Option<f64>,
    /// The value of each requested metric, as it counts in means.
    #[serde(default)]
    pub metrics: ByMetric<MetricValue>,
}

impl ClassScore {
    /// The masks of the class that are empty, if any.
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
        let MetricValue(counted_as) = self.metrics.get(metric).copied()?;
        match (self.empty(), counted_as) {
            (Some(which), counted_as) => Some(Score::Empty { which, counted_as }),
            (None, value) => value.map(Score::Value),
        }
    }
}

/// Summary of one class over the cases of a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSummary {
    /// The class.
    pub class: String,
    /// The summary of each requested metric, Dice first.
    pub metrics: ByMetric<MetricSummary>,
}

/// Summary of one class over the target sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverallClass {
    /// The class.
    pub class: String,
    /// The summary of each requested metric, Dice first.
    pub metrics: ByMetric<OverallSummary>,
}

/// The mean of a metric over the classes of a case that have a value; `None` where none has.
pub(super) fn mean_over_classes(classes: &[ClassScore], metric: CaseMetric) -> Option<f64> {
    let values: Vec<f64> =
        classes.iter().filter_map(|class| class.metrics.get(metric)?.0).collect();
    super::summarise::mean(&values)
}
