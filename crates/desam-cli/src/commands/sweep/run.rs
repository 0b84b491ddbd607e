//! `desam sweep run`.

use crate::cli::JsonFlag;
use crate::commands::{Session, json_path, whole};
use crate::environment::{Place, task_index};
use crate::reply::Reply;
use anyhow::{Context, bail};
use clap::Args;
use desam::Progress;
use desam_study::evaluate::Evaluation;
use desam_study::sweep::{LineOutcome, Plan, SweepOptions, Worker, run_line};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How often a line looks whether the model that it waits for is trained.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// As `desam train` has it unless told otherwise.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(600);

const AFTER: &str = "\
A line that is done says so and ends well. One that was interrupted continues from its last checkpoint.
One that scores a model which another worker is training waits for it. With --all, lines that others have are left to
them: several machines may run the same plan with --all at once.

Within an array of Slurm or an indexed job of Kubernetes the line is the task's number.";

/// Do one run of a plan, or all that are left: train, then score
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    /// Folder that `desam sweep plan` wrote
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    /// Which line, from 0 [default: SLURM_ARRAY_TASK_ID, else JOB_COMPLETION_INDEX]
    #[arg(long, value_name = "K", conflicts_with = "all", allow_negative_numbers = true,
        value_parser = whole(0..=99_999))]
    index: Option<usize>,

    /// Do all lines that are left, one after the other
    #[arg(long)]
    all: bool,

    /// Where the features are now, if they were moved since the plan was made
    #[arg(long, value_name = "CACHE")]
    cache: Option<PathBuf>,

    /// Take over lines that another machine's worker holds: for when that machine died. A worker that
    /// is known to be alive keeps its line
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    pub(super) json: JsonFlag,
}

pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let plan = Plan::open(&arguments.plan)?;
    let place = Place::read()?;
    let worker = Worker { host: place.host, pid: std::process::id(), task: place.task };
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let options = SweepOptions::new(worker, clock)
        .with_cache(arguments.cache.as_deref())
        .with_force(arguments.force)
        .with_checkpoint_every(Some(CHECKPOINT_EVERY))
        .with_device(session.device.clone());
    if arguments.all {
        return Ok(all(&plan, &options, session));
    }
    let index = arguments.index.or(task_index()?).context(
        "which line? Give --index or --all; neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX \
         says so",
    )?;
    one(&plan, index, (&options, session))
}

fn one(
    plan: &Plan,
    index: usize,
    (options, session): (&SweepOptions<'_>, &Session),
) -> anyhow::Result<Reply> {
    let mut waited = false;
    loop {
        match run_line(plan, index, options, &session.screen)? {
            LineOutcome::Done(scores) => return Ok(reply(plan, index, (&scores, "done"))),
            LineOutcome::AlreadyDone(scores) => {
                return Ok(reply(plan, index, (&scores, "was done")));
            }
            LineOutcome::Busy { id, training: false, worker, alive } => {
                bail!("line {index} ({id}) is held by {worker}; {}", advice(alive))
            }
            LineOutcome::Busy { id, worker, alive, .. } => {
                if !waited {
                    let advice = advice(alive);
                    session
                        .screen
                        .say(&format!("waiting for {id}, which {worker} trains; {advice}"));
                }
                waited = true;
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
}

/// What to do about a line that another worker holds.
fn advice(alive: bool) -> &'static str {
    match alive {
        true => "it is alive: wait for it, or end it (--force takes nothing from the living)",
        false => "its machine cannot be seen from here: if it is dead, give --force",
    }
}

fn reply(plan: &Plan, index: usize, (scores, how): (&Evaluation, &str)) -> Reply {
    let id = plan.lines().get(index).map_or("", |line| line.id.as_str());
    let text = format!("line {index}, {id}, {how}\n{}", scores.headline());
    let json = json!({
        "index": index, "id": id, "outcome": how.replace(' ', "_"), "folder": json_path(&plan.folder(id)),
        "overall_dice": scores.overall_dice, "overall_cases_dice": scores.overall_cases_dice,
    });
    Reply::new(text, json)
}

/// Lines that train come first, so those that score find their model. One failure does not keep the
/// others from being done.
fn all(plan: &Plan, options: &SweepOptions<'_>, session: &Session) -> Reply {
    let (mut done, mut was_done) = (Vec::new(), Vec::new());
    let (mut busy, mut failed): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let count = plan.lines().len();
    session.screen.begin("sweep", count as u64);
    for line in plan.lines() {
        let id = &line.id;
        match run_line(plan, line.index, options, &session.screen) {
            Ok(LineOutcome::Done(_)) => done.push(id.clone()),
            Ok(LineOutcome::AlreadyDone(_)) => was_done.push(id.clone()),
            Ok(LineOutcome::Busy { worker, .. }) => busy.push(format!("{id}: {worker}")),
            Err(error) => failed.push(format!("line {} ({id}): {error}", line.index)),
        }
        session.screen.advance(1, id);
    }
    let mut text = format!(
        "{} lines done, {} were done before, {} failed",
        done.len(),
        was_done.len(),
        failed.len()
    );
    session.screen.finish(&text);
    for held in &busy {
        text.push_str(&format!("\nleft to another worker: {held}"));
    }
    let json: Value =
        json!({ "done": done, "was_done": was_done, "left_to_others": busy, "failed": failed });
    Reply { failures: failed, ..Reply::new(text, json) }
}
