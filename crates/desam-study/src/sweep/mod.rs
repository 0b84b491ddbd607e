//! The paper's tables as runs that a laptop does one after the other and a cluster side by side.
//!
//! [`SweepConfig::plan`] turns tables into lines, one a run; [`Plan`] keeps them in a folder;
//! [`run_line`] does one; [`status`] says how far all are; [`collect`] makes the tables.
//!
//! Sites may be any domains, in any number and under any names. The paper's figures are set beside ours
//! where the user says which sites are the paper's ([`PaperSites`]).
//!
//! ```text
//! PLAN/plan.jsonl                            a line a run: everything that decides it
//! PLAN/runs/ID/                              a run's folder, as `train` leaves it
//! PLAN/runs/ID/evaluation_PROTOCOL.json      its scores; written last
//! PLAN/runs/ID/lock.json                     who works on it; lock_training.json: on its model
//! PLAN/runs/ID/failed.json                   why it failed when it was last run
//! ```
//!
//! A training is shared by all lines that differ in their grid alone: the model is in the folder of
//! one of them, the line that trains, and the others hold their scores only. Lines that train come
//! first, so a scheduler can start the others when those are done; one that is started too early is
//! told who trains its model.

mod collect;
mod folder;
mod lock;
mod paper;
mod plan;
mod render;
mod run;
mod sites;
mod status;
#[cfg(test)]
mod tests;

pub use collect::{
    CollectConfig, CollectedRow, CollectedTable, Collection, Column, MeanOver, Missing, OurRow,
    Score, collect,
};
pub use folder::Plan;
pub use lock::Worker;
pub use paper::{PAPER_GRID, PaperRow, PaperTable, Setting};
pub use plan::{Cell, Changes, PlanLine, Subset, SweepConfig};
pub use run::{Outcome, SweepOptions, run_line};
pub use sites::{Letter, NamedSite, PaperSites};
pub use status::{LineState, LineStatus, status};
