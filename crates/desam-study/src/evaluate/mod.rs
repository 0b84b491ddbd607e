//! Evaluation of a trained model: Dice per case, mean per site, source site against target sites;
//! bootstrap intervals, and paired comparison of two runs.
//!
//! Three protocols, never mixed in one table. [`Protocol::Paper`] is what the official program
//! scores: masks of side `M`, only slices with ground truth, a border of the prediction set to
//! zero (the ground truth is left as it is, as there), Dice over each case's stack of slices.
//! [`Protocol::Full`] scores what a user gets: the whole volume on its own grid, against the label
//! file, and says what slices without ground truth cost ([`EmptySlices`]). [`Protocol::Native`] scores
//! the slices with ground truth on that grid, so that models of other image sizes can be compared.
//!
//! Any set of metrics is measured on those voxels ([`EvaluateConfig::metrics`]), distances in
//! millimetres. The voxel spacing is the label file's on the volume's own grid. Under the paper protocol
//! the masks of all processed slices are stacked, each slice's extent divided by its `M × M` pixels;
//! slices that are not scored are empty on both sides.
//!
//! Of several classes each is scored on its own, and the score of a case is the mean of its classes
//! ([`ClassScore`]).
//!
//! No case is dropped silently: an empty prediction is a Dice of 0 that counts in every mean and is also
//! counted separately, and a case without ground truth is listed by name. Scores name the ground truth
//! that they are against ([`GroundTruthKind`]), and how much of it lies in the border where predictions are zeroed
//! ([`BorderCut`]).

mod border;
mod by_metric;
mod case;
mod case_pair;
mod case_plan;
mod class_scores;
mod class_table;
mod comparability;
mod compare;
mod compare_table;
mod computed_features;
mod confidence;
mod config;
mod empty_counts;
mod empty_slices;
mod in_pixels;
mod metric_unit;
mod naming;
mod read;
mod run;
mod score_range;
mod scores;
mod settings;
mod summarise;
mod summary;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod text_table;
mod truth;
mod write;

pub use border::BorderCut;
pub(crate) use border::zero_border;
pub use by_metric::{ByMetric, MetricValue};
pub use case::{CaseScore, Role, UnscoredCase};
pub use class_scores::{ClassScore, ClassSummary, OverallClass};
pub use compare::{CompareConfig, Comparison, Difference, SiteDifference, compare};
pub(crate) use computed_features::ComputedFeatures;
pub use config::{EvaluateConfig, Protocol};
pub use empty_slices::EmptySlices;
pub(crate) use metric_unit::{MetricUnit, few_cases_note, metric_title};
pub use naming::{evaluation_stem, find_scores};
pub(crate) use run::check_origin;
pub use run::{EvaluateRequest, PredictMask, TrainedOn, evaluate, evaluate_with};
pub use scores::{Evaluation, SiteScore};
pub use settings::{ScoringSettings, Setting};
pub use summary::{MetricSummary, OverallSummary};
pub(crate) use table::{counted, percent};
pub(crate) use text_table::TextTable;
pub use truth::GroundTruthKind;
