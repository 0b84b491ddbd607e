//! Scoring a trained model: Dice a case, mean a site, the source site against the rest.
//!
//! Two protocols, never mixed in one table. [`Protocol::Paper`] is what the official program
//! scores: masks of side `M`, only slices with ground truth, a border of the prediction set to
//! zero (the ground truth is left as it is, as there), Dice over each case's stack of slices.
//! [`Protocol::Full`] is what a user gets: the whole volume on its own grid, against the label
//! file.
//!
//! Any set of metrics is measured on those voxels ([`EvaluateConfig::metrics`]), in millimetres
//! where a metric has them: under the full protocol the label file says how far apart voxels are;
//! under the paper protocol the masks of all processed slices are stacked, each slice's extent
//! shared out among its `M × M` pixels, slices that are not scored empty on both sides.
//!
//! Nothing that should be scored is left out quietly: an empty prediction is a Dice of 0 that
//! counts in every mean and is counted beside it, and a case that has nothing to be scored against
//! is listed by name. Scores say which truth they are against ([`Truth`]), and how much of it lies in
//! the border where predictions are cleared ([`BorderCut`]).

mod border;
mod by_metric;
mod case;
mod compare;
mod compare_table;
mod config;
mod naming;
mod pair;
mod plan;
mod range;
mod run;
mod same;
mod scores;
mod settings;
mod summary;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod truth;
mod unit;
mod write;

pub use border::BorderCut;
pub(crate) use border::cleared;
pub use by_metric::{ByMetric, Measured};
pub use case::{CaseScore, Role, UnscoredCase};
pub use compare::{CompareConfig, Comparison, Difference, SiteDifference, compare};
pub use config::{EvaluateConfig, Protocol};
pub use naming::{evaluation_stem, find_scores};
pub(crate) use run::check_origin;
pub use run::{EvaluateRequest, evaluate};
pub use scores::{Evaluation, SiteScore};
pub use settings::{ScoringSettings, Setting};
pub use summary::{MetricSummary, OverallSummary};
pub(crate) use table::{counted, percent};
pub(crate) use text::Rows;
pub use truth::Truth;
pub(crate) use unit::{Unit, few_cases_note, title};
