//! Scoring a trained model: Dice a case, mean a site, the source site against the rest.
//!
//! Two protocols, never mixed in one table. [`Protocol::Paper`] is what the official program
//! scores: masks of side `M`, only slices with ground truth, a border of the prediction set to
//! zero (the ground truth is left as it is, as there), Dice over each case's stack of slices.
//! [`Protocol::Full`] is what a user gets: the whole volume on its own grid, against the label
//! file.
//!
//! Nothing that should be scored is left out quietly: an empty prediction is a Dice of 0 that
//! counts in every mean and is counted beside it, and a case that has nothing to be scored against
//! is listed by name.

mod border;
mod config;
mod full;
mod plan;
mod run;
mod scores;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod write;

pub use config::{EvaluateConfig, Protocol};
pub use run::{EvaluateRequest, evaluate};
pub use scores::{CaseScore, Evaluation, Role, SiteScore, UnscoredCase};
pub(crate) use table::{counted, percent};
