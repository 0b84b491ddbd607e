//! Statistics of the training cases.

use desam_data::preprocess::IntensityHistogram;
use serde::{Deserialize, Serialize};

/// Statistics of the cases that a model was trained on, with which a new volume is compared.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SourceStatistics {
    /// Levels of all their processed slices; `None` of images in colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<IntensityHistogram>,
}

impl SourceStatistics {
    /// Sets [`histogram`](Self::histogram).
    #[must_use]
    pub fn with_histogram(self, histogram: Option<IntensityHistogram>) -> Self {
        Self { histogram, ..self }
    }
}
