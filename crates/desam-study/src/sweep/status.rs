//! How far a plan is.

use super::folder::{Lock, Plan};
use super::lock::{Holder, Worker};
use super::plan::PlanLine;
use crate::Result;
use serde::Serialize;

/// How far a line is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LineState {
    /// Nothing is done yet, or its model is not yet trained.
    Waiting,
    /// A worker is at it.
    Running {
        /// Who.
        worker: Worker,
        /// Epochs that are done; all of them while it is scored.
        epochs_done: usize,
        /// Epochs there are.
        epochs: usize,
        /// Whether it is known to be alive. Of another machine's workers it may not be.
        alive: bool,
    },
    /// A worker died at it. It can be run again.
    Interrupted {
        /// Who.
        worker: Worker,
        /// Epochs that are done.
        epochs_done: usize,
        /// Epochs there are.
        epochs: usize,
    },
    /// Trained and scored.
    Done {
        /// Mean over all cases of the target sites, 0 to 1.
        dice: Option<f64>,
    },
    /// It failed when it was last run.
    Failed {
        /// Why.
        reason: String,
        /// Where; `None` where the scores that are there are no good.
        worker: Option<Worker>,
    },
}

impl LineState {
    /// One word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running { .. } => "running",
            Self::Interrupted { .. } => "interrupted",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
        }
    }

    /// The rest of what there is to say, in one line.
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
                let place = worker.as_ref().map(|w| format!(" (on {w})")).unwrap_or_default();
                format!("{}{place}", reason.lines().next().unwrap_or_default())
            }
        }
    }
}

/// A line and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineStatus {
    /// Which line.
    pub index: usize,
    /// Its name.
    pub id: String,
    /// How far it is.
    #[serde(flatten)]
    pub state: LineState,
}

/// How far each line of a plan is, as seen from the machine `host`.
///
/// # Errors
/// When a file of the plan cannot be read. Scores that are not the line's make it failed.
pub fn status(plan: &Plan, host: &str) -> Result<Vec<LineStatus>> {
    let lines = plan.lines().iter();
    let told = lines.map(|line| {
        Ok(LineStatus { index: line.index, id: line.id.clone(), state: of_line(plan, line, host)? })
    });
    told.collect()
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
    let mut holder = plan.holder(Lock::Line(&line.id), host)?;
    if holder == Holder::Nobody && line.trains() {
        // A line that scores its model may have been the first to want it.
        holder = plan.holder(Lock::Training(&line.id), host)?;
    }
    Ok(match holder {
        Holder::Alive(worker) => LineState::Running { worker, epochs_done, epochs, alive: true },
        Holder::Elsewhere(worker) => {
            LineState::Running { worker, epochs_done, epochs, alive: false }
        }
        Holder::Dead(worker) => LineState::Interrupted { worker, epochs_done, epochs },
        Holder::Nobody => match plan.failure(line)? {
            Some(f) => LineState::Failed { reason: f.reason, worker: Some(f.worker) },
            None => LineState::Waiting,
        },
    })
}
