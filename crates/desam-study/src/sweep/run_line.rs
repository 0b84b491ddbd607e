//! Execution of one line of a plan.

use super::plan::PlanLine;
use super::plan_dir::{LineFailure, LockTarget, Plan};
use super::worker_lock::{LockAttempt, LockGuard, Worker};
use crate::evaluate::{EvaluateConfig, EvaluateRequest, Evaluation, evaluate};
use crate::train::{RunDir, RunOptions, TrainConfig, TrainRequest, train_with};
use crate::{Error, Result};
use candle_core::Device;
use desam::{Compute, Model};
use desam_core::Progress;
use desam_data::cache::FeatureCache;
use std::path::Path;
use std::time::Duration;

/// Options for executing a line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SweepOptions<'a> {
    /// The feature cache, if it has moved since the plan was made.
    pub cache: Option<&'a Path>,
    /// The executing worker.
    pub worker: Worker,
    /// Take the line over from a worker on another host. A worker known to be alive keeps it.
    pub force: bool,
    /// Write a training checkpoint when the last one is this old; `None`: only after each epoch.
    pub checkpoint_every: Option<Duration>,
    /// Time since the Unix epoch; a parameter because the library does not read the system clock.
    pub clock: fn() -> Duration,
    /// The device to compute on.
    pub device: Device,
}

impl<'a> SweepOptions<'a> {
    /// Execution by `worker` on the CPU, with the plan's cache and a checkpoint after each epoch.
    pub fn new(worker: Worker, clock: fn() -> Duration) -> Self {
        let device = Device::Cpu;
        Self { cache: None, worker, force: false, checkpoint_every: None, clock, device }
    }

    /// Sets [`cache`](Self::cache).
    #[must_use]
    pub fn with_cache(self, cache: Option<&'a Path>) -> Self {
        Self { cache, ..self }
    }

    /// Sets [`force`](Self::force).
    #[must_use]
    pub fn with_force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// Sets [`checkpoint_every`](Self::checkpoint_every).
    #[must_use]
    pub fn with_checkpoint_every(self, checkpoint_every: Option<Duration>) -> Self {
        Self { checkpoint_every, ..self }
    }

    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }
}

/// Result of executing a line.
#[derive(Debug)]
pub enum LineOutcome {
    /// The line was executed.
    Done(Box<Evaluation>),
    /// The line had been executed before.
    AlreadyDone(Box<Evaluation>),
    /// Another worker holds the line, or trains the model that it scores.
    Busy {
        /// The line, or the one whose model it scores.
        id: String,
        /// Whether the other worker trains the model. The line can then be executed once that is done;
        /// otherwise the other worker executes the line itself.
        training: bool,
        /// The other worker.
        worker: Worker,
        /// Whether it is known to be alive. For a worker on another host that is not known; only from
        /// such a worker can a line be taken over ([`SweepOptions::force`]).
        alive: bool,
    },
}

/// Executes a line: trains its model, unless that is done, and scores it. Earlier work is kept: an
/// interrupted line continues, to the same bits as an uninterrupted one. A failure is recorded in the
/// line's directory and returned.
///
/// # Errors
/// When there is no such line, the cache is another one than the plan was made for, or training or
/// scoring fails.
pub fn run_line(
    plan: &Plan,
    index: usize,
    options: &SweepOptions<'_>,
    progress: &dyn Progress,
) -> Result<LineOutcome> {
    let line = plan.line(index)?;
    if let Some(scores) = plan.scores(line)? {
        return Ok(LineOutcome::AlreadyDone(Box::new(scores)));
    }
    let mut held: Vec<LockGuard> = Vec::new();
    let mut locks = vec![(LockTarget::Line(&line.id), &line.id, false)];
    // A finished model is only read, so lines that score it need not wait for each other.
    if !plan.manifest(line)?.is_some_and(|m| m.finished) {
        locks.push((LockTarget::Training(&line.training), &line.training, true));
    }
    for (lock, id, training) in locks {
        let (worker, alive) = match plan.acquire(lock, &options.worker, options.force, progress)? {
            LockAttempt::Acquired(lock) => {
                held.push(lock);
                continue;
            }
            LockAttempt::Busy(worker) => (worker, true),
            LockAttempt::OtherHost(worker) => (worker, false),
        };
        return Ok(LineOutcome::Busy { id: id.clone(), training, worker, alive });
    }
    // Another worker may have executed it between the first check and the lock.
    if let Some(scores) = plan.scores(line)? {
        return Ok(LineOutcome::AlreadyDone(Box::new(scores)));
    }
    plan.remove_failure(line)?;
    let done = LineJob { plan, line, options, progress }.run();
    if let Err(error) = &done
        && !error.is_cancelled()
    {
        let failure = LineFailure { reason: error.to_string(), worker: options.worker.clone() };
        // The caller needs the error itself, whether or not it can be recorded.
        plan.write_failure(line, &failure).ok();
    }
    done.map(|scores| LineOutcome::Done(Box::new(scores)))
}

struct LineJob<'a> {
    plan: &'a Plan,
    line: &'a PlanLine,
    options: &'a SweepOptions<'a>,
    progress: &'a dyn Progress,
}

impl LineJob<'_> {
    fn run(&self) -> Result<Evaluation> {
        let dir = self.options.cache.unwrap_or(&self.line.cache);
        let cache = FeatureCache::open(dir)?;
        let (found, expected) = (&cache.header().key, &self.line.cache_key);
        if found != expected {
            let reason = format!(
                "is not the cache that the plan was made for: its key is {found}, expected {expected}"
            );
            return Err(Error::file(dir, reason));
        }
        let run = self.trained(dir)?;
        let model = Model::open(run.dir(), &Compute::new(self.options.device.clone()))?;
        let line = self.line;
        let grid = line.grid.unwrap_or(desam::PAPER_GRID);
        let automatic = model.record().prompting(grid);
        let config = EvaluateConfig {
            sites: Some(line.sites.clone()),
            ..EvaluateConfig::new(line.protocol, automatic)
        };
        let manifest = run.manifest()?;
        let request = EvaluateRequest::new(&cache, &model, line.train.source.clone(), &config)
            .with_validation(&manifest.validation_cases);
        let scores = evaluate(&request, self.progress)?;
        let path = self.plan.scores_path(line);
        scores.write_csv(&path.with_extension("csv"))?;
        // Last: it marks the line as done.
        scores.write_json(&path)?;
        Ok(scores)
    }

    /// Trains the line's model to the end, unless it is.
    fn trained(&self, cache: &Path) -> Result<RunDir> {
        let dir = self.plan.folder(&self.line.training);
        if let Some(run) = self.plan.run(self.line)?
            && self.plan.manifest(self.line)?.is_some_and(|m| m.finished)
        {
            if run.config()?.train == json_round_trip(&self.line.train, &dir)? {
                return Ok(run);
            }
            let reason = "was trained with other settings than the plan's; remove it";
            return Err(Error::file(&dir, reason));
        }
        let clock = self.options.clock;
        let mut options = RunOptions::default()
            .with_resume(true)
            .with_checkpoint_every(self.options.checkpoint_every)
            .with_clock(clock);
        let request = TrainRequest::new(cache, &dir, &self.line.train)
            .with_device(self.options.device.clone());
        train_with(&request, &mut options, self.progress)?;
        RunDir::open(&dir)
    }
}

/// Writes a configuration as JSON and parses it again, which may round numbers as the stored file does.
fn json_round_trip(config: &TrainConfig, path: &Path) -> Result<TrainConfig> {
    let text = serde_json::to_string(config);
    text.and_then(|t| serde_json::from_str(&t)).map_err(Error::json(path))
}
