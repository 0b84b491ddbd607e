//! Sweeps: the paper's tables as a plan of runs, executed one after the other or distributed on a cluster.
//!
//! [`SweepConfig::plan`] turns tables into lines, one per run; [`Plan`] stores them in a directory;
//! [`run_line`] executes one; [`status`] reports the progress of all; [`collect`] makes the tables.
//!
//! Sites may be any domains, in any number and under any names. The paper's figures are shown next to ours
//! where the user says which sites are the paper's ([`PaperSites`]).
//!
//! ```text
//! PLAN/plan.jsonl                            one line per run, with all its settings
//! PLAN/runs/ID/                              the run's directory, as `train` leaves it
//! PLAN/runs/ID/evaluation_PROTOCOL.json      its scores; written last
//! PLAN/runs/ID/lock.json                     the worker that holds the line
//! PLAN/runs/ID/lock_training.json            the worker that trains its model
//! PLAN/runs/ID/failed.json                   why it failed last time
//! ```
//!
//! Lines that differ only in their grid share a model: it is in the directory of the line that trains it,
//! and the others hold only their scores. Lines that train come first, so a scheduler can start the others
//! once those are done; a line that is started too early reports the worker that trains its model.

mod collect;
mod paper_tables;
mod plan;
mod plan_dir;
mod render;
mod run_line;
mod sites;
mod status;
#[cfg(test)]
mod tests;
mod worker_lock;

pub use collect::{
    CollectConfig, CollectedRow, CollectedTable, Collection, MeanOver, MissingLine, OurRow,
    SeedScore, TableColumn, collect,
};
pub use paper_tables::{PaperRow, RowSetting, SourceRule, SweepTable};
pub use plan::{CellFilter, PlanLine, SweepConfig, TableCell, TrainOverrides};
pub use plan_dir::Plan;
pub use run_line::{LineOutcome, SweepOptions, run_line};
pub use sites::{NamedSite, PaperLetter, PaperSites};
pub use status::{LineState, LineStatus, status};
pub use worker_lock::Worker;
