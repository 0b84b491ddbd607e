//! Progress of a plan.

use super::plan::PlanLine;
use super::plan_dir::{LockTarget, Plan};
use super::worker_lock::{LockHolder, Worker};
use crate::Result;
use serde::Serialize;

/// State of a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LineState {
    /// Not started, or its model is not trained yet.
    Waiting,
    /// A worker executes it.
    Running {
        /// The worker.
        worker: Worker,
        /// Epochs done; all of them while it is being scored.
        epochs_done: usize,
        /// Epochs in total.
        epochs: usize,
        /// Whether the worker is known to be alive, which cannot be checked on another host.
        alive: bool,
    },
    /// A worker died while executing it. It can be run again.
    Interrupted {
        /// The worker.
        worker: Worker,
        /// Epochs done.
        epochs_done: usize,
        /// Epochs in total.
        epochs: usize,
    },
    /// Trained and scored.
    Done {
        /// Mean over all cases of the target sites, 0 to 1.
        dice: Option<f64>,
    },
    /// It failed when it was last run.
    Failed {
        /// The reason.
        reason: String,
        /// The worker; `None` where the existing scores are invalid.
        worker: Option<Worker>,
    },
}

impl LineState {
    /// The state in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running { .. } => "running",
            Self::Interrupted { .. } => "interrupted",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
        }
    }

    /// Details in one line.
    pub fn detail(&self) -> String {
        match self {
            Self::Waiting => String::new(),
            Self::Running { worker, epochs_done, epochs, alive } => {
                let unseen = if *alive { "" } else { ", not seen from here" };
                format!("epoch {epochs_done}/{epochs} on {worker}{unseen}")
            }
            Self::Interrupted { worker, epochs_done, epochs } => {
                format!("epoch {epochs_done}/{epochs}; {worker} is gone")
            }
            Self::Done { dice } => {
                format!("Dice {} % (mean of cases)", crate::evaluate::percent(*dice))
            }
            Self::Failed { reason, worker } => {
                let host = worker.as_ref().map(|w| format!(" (on {w})")).unwrap_or_default();
                format!("{}{host}", reason.lines().next().unwrap_or_default())
            }
        }
    }
}

/// A line with its state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineStatus {
    /// Index of the line.
    pub index: usize,
    /// Its name.
    pub id: String,
    /// Its state.
    #[serde(flatten)]
    pub state: LineState,
}

/// The state of each line of a plan, as seen from the machine `host`.
///
/// # Errors
/// When a file of the plan cannot be read. A line with scores of other settings is failed.
pub fn status(plan: &Plan, host: &str) -> Result<Vec<LineStatus>> {
    let lines = plan.lines().iter();
    let all = lines.map(|line| {
        Ok(LineStatus { index: line.index, id: line.id.clone(), state: of_line(plan, line, host)? })
    });
    all.collect()
}

pub(super) fn of_line(plan: &Plan, line: &PlanLine, host: &str) -> Result<LineState> {
    match plan.scores(line) {
        Ok(Some(scores)) => return Ok(LineState::Done { dice: scores.overall_cases_dice }),
        Ok(None) => {}
        Err(error) => {
            return Ok(LineState::Failed { reason: error.to_string(), worker: None });
        }
    }
    let epochs = line.train.epochs;
    let epochs_done = plan.manifest(line).ok().flatten().map_or(0, |m| m.epochs_done);
    let mut holder = plan.holder(LockTarget::Line(&line.id), host)?;
    if holder == LockHolder::Free && line.trains() {
        // A line that scores its model may train it first.
        holder = plan.holder(LockTarget::Training(&line.id), host)?;
    }
    Ok(match holder {
        LockHolder::Alive(worker) => {
            LineState::Running { worker, epochs_done, epochs, alive: true }
        }
        LockHolder::OtherHost(worker) => {
            LineState::Running { worker, epochs_done, epochs, alive: false }
        }
        LockHolder::Dead(worker) => LineState::Interrupted { worker, epochs_done, epochs },
        LockHolder::Free => match plan.failure(line)? {
            Some(f) => LineState::Failed { reason: f.reason, worker: Some(f.worker) },
            None => LineState::Waiting,
        },
    })
}
