//! Doing one line of a plan.

use super::folder::{Failure, Lock, Plan};
use super::lock::{Claim, Held, Worker};
use super::plan::PlanLine;
use crate::evaluate::{EvaluateConfig, EvaluateRequest, Evaluation, evaluate};
use crate::train::{RunDir, RunOptions, TrainConfig, TrainRequest, train_with};
use crate::{Error, Result};
use candle_core::Device;
use desam::{Compute, Model, PromptingConfig};
use desam_core::Progress;
use desam_data::cache::FeatureCache;
use std::path::Path;
use std::time::Duration;

/// How a line is done.
#[derive(Debug, Clone)]
pub struct SweepOptions<'a> {
    /// Where the features are, if not where they were when the plan was made.
    pub cache: Option<&'a Path>,
    /// Who does it.
    pub worker: Worker,
    /// Whether to take the line over from another machine's worker. A worker that is known to be
    /// alive keeps it.
    pub force: bool,
    /// Write a checkpoint of a training when the last one is this old; `None`: at the ends of epochs
    /// alone.
    pub checkpoint_every: Option<Duration>,
    /// Time since the beginning of 1970; the library reads no clock of its own.
    pub clock: fn() -> Duration,
    /// Where to compute.
    pub device: Device,
}

/// What came of a line.
#[derive(Debug)]
pub enum Outcome {
    /// It is done now.
    Done(Box<Evaluation>),
    /// It was done before, and was left as it is.
    WasDone(Box<Evaluation>),
    /// Another worker has it, or trains the model that it would score.
    Busy {
        /// The line, or the one whose model it would score.
        id: String,
        /// Whether it is the training of the model that the other is at. Then the line can be done
        /// when that is over; else the other does the line itself.
        training: bool,
        /// The other.
        worker: Worker,
        /// Whether it is known to be alive. Of another machine's workers it may not be; a line can be
        /// taken over from those alone ([`SweepOptions::force`]).
        alive: bool,
    },
}

/// Does a line: trains its model, unless that is done, and scores it. What was done before is kept:
/// a line that was interrupted continues, to the same bits as if it had not been. A failure is noted
/// beside the line and returned.
///
/// # Errors
/// When there is no such line, the cache is another one than the plan was made for, or training or
/// scoring fails.
pub fn run_line(
    plan: &Plan,
    index: usize,
    options: &SweepOptions<'_>,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let line = plan.line(index)?;
    if let Some(scores) = plan.scores(line)? {
        return Ok(Outcome::WasDone(Box::new(scores)));
    }
    let mut held: Vec<Held> = Vec::new();
    let mut locks = vec![(Lock::Line(&line.id), &line.id, false)];
    // A model that is there is only read: lines that score it do not wait for each other.
    if !plan.manifest(line)?.is_some_and(|m| m.finished) {
        locks.push((Lock::Training(&line.training), &line.training, true));
    }
    for (lock, id, training) in locks {
        let (worker, alive) = match plan.claim(lock, &options.worker, options.force, progress)? {
            Claim::Held(lock) => {
                held.push(lock);
                continue;
            }
            Claim::Busy(worker) => (worker, true),
            Claim::Elsewhere(worker) => (worker, false),
        };
        return Ok(Outcome::Busy { id: id.clone(), training, worker, alive });
    }
    // Another worker may have done it between the first look and the lock.
    if let Some(scores) = plan.scores(line)? {
        return Ok(Outcome::WasDone(Box::new(scores)));
    }
    plan.forget_failure(line)?;
    let done = Work { plan, line, options, progress }.run();
    if let Err(error) = &done
        && !error.is_cancelled()
    {
        let failure = Failure { reason: error.to_string(), worker: options.worker.clone() };
        // The error itself is what the caller needs, whether or not it can be kept.
        plan.write_failure(line, &failure).ok();
    }
    done.map(|scores| Outcome::Done(Box::new(scores)))
}

struct Work<'a> {
    plan: &'a Plan,
    line: &'a PlanLine,
    options: &'a SweepOptions<'a>,
    progress: &'a dyn Progress,
}

impl Work<'_> {
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
        let grid = line.grid.unwrap_or(super::PAPER_GRID);
        let automatic = PromptingConfig::new(line.train.mode, grid, model.spec().mask_side());
        let config = EvaluateConfig {
            sites: Some(line.sites.clone()),
            ..EvaluateConfig::new(line.protocol, automatic)
        };
        let manifest = run.manifest()?;
        let request = EvaluateRequest {
            cache: &cache,
            model: &model,
            source: &line.train.source,
            validation: &manifest.validation_cases,
            config: &config,
        };
        let scores = evaluate(&request, self.progress)?;
        let path = self.plan.scores_path(line);
        scores.write_csv(&path.with_extension("csv"))?;
        // Last, since it says that the line is done.
        scores.write_json(&path)?;
        Ok(scores)
    }

    /// The run of the line's model, trained to its end.
    fn trained(&self, cache: &Path) -> Result<RunDir> {
        let dir = self.plan.folder(&self.line.training);
        if let Some(run) = self.plan.run(self.line)?
            && self.plan.manifest(self.line)?.is_some_and(|m| m.finished)
        {
            if run.config()?.train == as_read(&self.line.train, &dir)? {
                return Ok(run);
            }
            let reason = "was trained otherwise than the plan says; remove it";
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

/// What comes of a configuration that is written to a file and read again: numbers may be rounded.
fn as_read(config: &TrainConfig, path: &Path) -> Result<TrainConfig> {
    let text = serde_json::to_string(config);
    text.and_then(|t| serde_json::from_str(&t))
        .map_err(|source| Error::Json { path: path.to_owned(), source })
}
