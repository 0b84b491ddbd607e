//! `desam sweep run`: trains and evaluates lines of a plan.

use crate::commands::flags::JsonFlag;
use crate::commands::values::integer;
use crate::commands::{Session, json_path};
use crate::environment::{WorkerIdentity, task_index};
use crate::output::Output;
use crate::usage::usage;
use anyhow::bail;
use clap::Args;
use desam::Progress;
use desam_study::evaluate::Evaluation;
use desam_study::sweep::{LineOutcome, Plan, SweepOptions, Worker, run_line};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Interval at which a waiting line checks whether its model is trained.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Interval of checkpoints, the default of `desam train`.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(600);

const AFTER: &str = "\
A line that is already finished is reported as such, with exit code 0. An interrupted line continues \
from its last checkpoint. A line that evaluates a model which another worker is training waits for it. \
With --all, lines that other workers hold are skipped, so several machines can run the same plan with \
--all at the same time.

In a Slurm array job or a Kubernetes indexed job, the line is the task's index.";

/// Run one line of a plan, or all unfinished lines: train, then evaluate
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Arguments {
    /// Plan folder of `desam sweep plan`
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    /// Index of the line, from 0 [default: SLURM_ARRAY_TASK_ID, else JOB_COMPLETION_INDEX]
    #[arg(long, value_name = "K", conflicts_with = "all", allow_negative_numbers = true,
        value_parser = integer(0..=99_999))]
    index: Option<usize>,

    /// Run all unfinished lines, one after the other
    #[arg(long)]
    all: bool,

    /// Feature cache, if it was moved since the plan was made
    #[arg(long, value_name = "CACHE")]
    cache: Option<PathBuf>,

    /// Take over lines held by workers of other machines, for example after a crash. A worker that is
    /// known to be alive keeps its line
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    pub(super) json: JsonFlag,
}

pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    // Usage errors first, before any file is read.
    let index = arguments.line()?;
    let plan = Plan::open(&arguments.plan)?;
    let identity = WorkerIdentity::read()?;
    let worker = Worker { host: identity.host, pid: std::process::id(), task: identity.task };
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let options = SweepOptions::new(worker, clock)
        .with_cache(arguments.cache.as_deref())
        .with_force(arguments.force)
        .with_checkpoint_every(Some(CHECKPOINT_INTERVAL))
        .with_device(session.device.clone());
    match index {
        Some(index) => run_one(&plan, index, &options, session),
        None => Ok(run_all(&plan, &options, session)),
    }
}

impl Arguments {
    /// The line to run, from the flag or the scheduler; `None` with `--all`.
    fn line(&self) -> anyhow::Result<Option<usize>> {
        if self.all {
            return Ok(None);
        }
        let index = match self.index {
            Some(index) => Some(index),
            None => task_index()?,
        };
        index.map(Some).ok_or_else(|| {
            usage(
                "--index or --all is needed, unless SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX is \
                 set",
            )
        })
    }
}

/// Runs one line; waits while another worker trains its model.
fn run_one(
    plan: &Plan,
    index: usize,
    options: &SweepOptions<'_>,
    session: &Session,
) -> anyhow::Result<Output> {
    let mut waited = false;
    loop {
        match run_line(plan, index, options, &session.terminal)? {
            LineOutcome::Done(scores) => return Ok(output(plan, index, &scores, "done")),
            LineOutcome::AlreadyDone(scores) => {
                return Ok(output(plan, index, &scores, "was done"));
            }
            LineOutcome::Busy { id, training: false, worker, alive } => {
                bail!("line {index} ({id}) is held by {worker}; {}", advice(alive))
            }
            LineOutcome::Busy { id, worker, alive, .. } => {
                if !waited {
                    let advice = advice(alive);
                    session
                        .terminal
                        .say(&format!("waiting for {id}, which {worker} trains; {advice}"));
                }
                waited = true;
                std::thread::sleep(POLL_INTERVAL);
            }
        }
    }
}

/// Advice on a line that another worker holds.
fn advice(alive: bool) -> &'static str {
    if alive {
        "it is alive: wait for it, or stop it (--force does not take lines from live workers)"
    } else {
        "it is on another machine, so whether it is alive is unknown: if it is dead, use --force"
    }
}

/// Output of a finished line; `outcome` is "done" or "was done" (by an earlier call).
fn output(plan: &Plan, index: usize, scores: &Evaluation, outcome: &str) -> Output {
    let id = plan.lines().get(index).map_or("", |line| line.id.as_str());
    let text = format!("line {index}, {id}, {outcome}\n{}", scores.headline());
    let json = json!({
        "index": index, "id": id, "outcome": outcome.replace(' ', "_"), "folder": json_path(&plan.folder(id)),
        "overall_dice": scores.overall_dice, "overall_cases_dice": scores.overall_cases_dice,
    });
    Output::new(text, json)
}

/// Runs all lines in order. Lines that train come first, so lines that evaluate find their models. A
/// failed line does not stop the others.
fn run_all(plan: &Plan, options: &SweepOptions<'_>, session: &Session) -> Output {
    let (mut done, mut was_done) = (Vec::new(), Vec::new());
    let (mut busy, mut failed): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let count = plan.lines().len();
    session.terminal.begin("sweep", count as u64);
    for line in plan.lines() {
        let id = &line.id;
        match run_line(plan, line.index, options, &session.terminal) {
            Ok(LineOutcome::Done(_)) => done.push(id.clone()),
            Ok(LineOutcome::AlreadyDone(_)) => was_done.push(id.clone()),
            Ok(LineOutcome::Busy { worker, .. }) => busy.push(format!("{id}: {worker}")),
            Err(error) => failed.push(format!("line {} ({id}): {error}", line.index)),
        }
        session.terminal.advance(1, id);
    }
    let mut text = format!(
        "{} lines done, {} already done before, {} failed",
        done.len(),
        was_done.len(),
        failed.len()
    );
    session.terminal.finish(&text);
    for held in &busy {
        text.push_str(&format!("\nskipped, held by another worker: {held}"));
    }
    let json: Value =
        json!({ "done": done, "was_done": was_done, "left_to_others": busy, "failed": failed });
    Output { failures: failed, ..Output::new(text, json) }
}
