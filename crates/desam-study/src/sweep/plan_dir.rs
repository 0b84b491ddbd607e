//! The directory of a plan.

use super::plan::PlanLine;
use super::worker_lock::{self, LockAttempt, LockHolder, Worker};
use crate::evaluate::Evaluation;
use crate::train::{RunDir, RunManifest};
use crate::{Error, Result};
use desam::Mode;
use desam::files::{create_dir, read_json, write_json, write_text};
use desam_core::Progress;
use desam_core::files::read_regular_to_string;
use desam_prompt::MAX_GRID_SIDE;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Record of a failed line, `failed.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineFailure {
    pub(super) reason: String,
    pub(super) worker: Worker,
}

/// Target of a lock: a line, or the training of a model that several lines may share.
#[derive(Debug, Clone, Copy)]
pub(super) enum LockTarget<'a> {
    Line(&'a str),
    Training(&'a str),
}

/// A plan on disk: `plan.jsonl`, and a directory for each line below `runs`.
#[derive(Debug, Clone)]
pub struct Plan {
    dir: PathBuf,
    lines: Vec<PlanLine>,
}

impl Plan {
    /// Writes a plan into `dir`. The same plan may be written again.
    ///
    /// # Errors
    /// When `dir` holds another plan, or cannot be written.
    pub fn create(dir: &Path, lines: Vec<PlanLine>) -> Result<Self> {
        let path = dir.join("plan.jsonl");
        let rows = lines.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
        let text: String =
            rows.map_err(Error::json(&path))?.iter().map(|row| format!("{row}\n")).collect();
        if path.exists() {
            // Compared as text, since parsing may round a number.
            let there = read_regular_to_string(&path).map_err(Error::io("read", &path))?;
            if there != text {
                let reason =
                    "holds another plan; write to another folder, or remove this one first";
                return Err(Error::file(&path, reason));
            }
        } else {
            create_dir(dir)?;
            write_text(&path, &text)?;
        }
        Self::open(dir)
    }

    /// Opens the plan in `dir`.
    ///
    /// # Errors
    /// [`Error::NotAPlan`] when there is none; when a line is invalid, naming it.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("plan.jsonl");
        if !path.is_file() {
            return Err(Error::NotAPlan { dir: dir.to_owned() });
        }
        let text = read_regular_to_string(&path).map_err(Error::io("read", &path))?;
        let mut lines: Vec<PlanLine> = Vec::new();
        for (index, row) in text.lines().enumerate() {
            let bad = |why: String| Error::file(&path, format!("line {}: {why}", index + 1));
            let line: PlanLine = serde_json::from_str(row).map_err(|e| bad(e.to_string()))?;
            check_line(&line, &lines).map_err(bad)?;
            lines.push(line);
        }
        if lines.is_empty() {
            return Err(Error::file(&path, "holds no line; remove it and plan again"));
        }
        Ok(Self { dir: dir.to_owned(), lines })
    }

    /// The path of the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lines, by index.
    pub fn lines(&self) -> &[PlanLine] {
        &self.lines
    }

    /// The line with an index.
    ///
    /// # Errors
    /// When there is no such line.
    pub fn line(&self, index: usize) -> Result<&PlanLine> {
        self.lines.get(index).ok_or_else(|| {
            let last = self.lines.len() - 1;
            Error::Invalid(format!("the plan has lines 0 to {last}, there is no line {index}"))
        })
    }

    /// The directory of a line.
    pub fn folder(&self, id: &str) -> PathBuf {
        self.dir.join("runs").join(id)
    }

    /// The run of a line's model; `None` before it has started.
    pub(super) fn run(&self, line: &PlanLine) -> Result<Option<RunDir>> {
        let dir = self.folder(&line.training);
        if !dir.join("config.json").is_file() {
            return Ok(None);
        }
        RunDir::open(&dir).map(Some)
    }

    /// The manifest of the training of a line's model; `None` before it has started.
    pub(super) fn manifest(&self, line: &PlanLine) -> Result<Option<RunManifest>> {
        let there = self.folder(&line.training).join("manifest.json").is_file();
        match self.run(line)? {
            Some(run) if there => run.manifest().map(Some),
            _ => Ok(None),
        }
    }

    /// The scores of a line; `None` until its model is fully trained and scored.
    ///
    /// # Errors
    /// When they cannot be read, or belong to other settings than the line's.
    pub fn scores(&self, line: &PlanLine) -> Result<Option<Evaluation>> {
        let path = self.scores_path(line);
        let trained = self.manifest(line)?.is_some_and(|m| m.finished);
        if !trained || !path.is_file() {
            return Ok(None);
        }
        let scores = Evaluation::read_json(&path)?;
        let found = (&scores.source, scores.mode, scores.grid, scores.protocol);
        let expected = (&line.train.source, line.train.mode, line.grid, line.protocol);
        if found != expected {
            let reason = format!("scores of {found:?}, expected {expected:?}; remove it");
            return Err(Error::file(&path, reason));
        }
        Ok(Some(scores))
    }

    /// Path of the scores of a line.
    pub(crate) fn scores_path(&self, line: &PlanLine) -> PathBuf {
        self.folder(&line.id).join(format!("evaluation_{}.json", line.protocol))
    }

    pub(super) fn acquire(
        &self,
        lock: LockTarget<'_>,
        me: &Worker,
        force: bool,
        progress: &dyn Progress,
    ) -> Result<LockAttempt> {
        worker_lock::acquire(&self.lock_path(lock), me, force, progress)
    }

    pub(super) fn holder(&self, lock: LockTarget<'_>, host: &str) -> Result<LockHolder> {
        worker_lock::holder(&self.lock_path(lock), host)
    }

    fn lock_path(&self, lock: LockTarget<'_>) -> PathBuf {
        match lock {
            LockTarget::Line(id) => self.folder(id).join("lock.json"),
            LockTarget::Training(id) => self.folder(id).join("lock_training.json"),
        }
    }

    pub(super) fn failure(&self, line: &PlanLine) -> Result<Option<LineFailure>> {
        let path = self.failure_path(line);
        if path.is_file() { Ok(Some(read_json(&path)?)) } else { Ok(None) }
    }

    pub(super) fn write_failure(&self, line: &PlanLine, failure: &LineFailure) -> Result<()> {
        Ok(write_json(&self.failure_path(line), failure)?)
    }

    pub(super) fn remove_failure(&self, line: &PlanLine) -> Result<()> {
        let path = self.failure_path(line);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &path)(e))
            }
            _ => Ok(()),
        }
    }

    fn failure_path(&self, line: &PlanLine) -> PathBuf {
        self.folder(&line.id).join("failed.json")
    }
}

/// Validates a line against those before it. Its names become paths, so only plain ones are accepted.
fn check_line(line: &PlanLine, before: &[PlanLine]) -> Result<(), String> {
    let odd = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if line.id.is_empty() || line.id.contains(odd) {
        return Err(format!("id {:?} is not plain", line.id));
    }
    if line.index != before.len() {
        return Err(format!("its index is {}, expected {}", line.index, before.len()));
    }
    if before.iter().any(|b| b.id == line.id) {
        return Err(format!("id {} is there already", line.id));
    }
    if before.first().is_some_and(|b| b.protocol != line.protocol) {
        return Err("another protocol than the first line's; they never share a table".into());
    }
    line.train.validate().map_err(|e| e.to_string())?;
    // An invalid grid would otherwise be found only after the training.
    let grids = match line.train.mode {
        Mode::Points => line.grid.is_some_and(|n| (1..=MAX_GRID_SIDE).contains(&n)),
        Mode::Box => line.grid.is_none(),
    };
    if !grids {
        let mode = line.train.mode;
        let grid = line.grid.map_or_else(|| "none".to_owned(), |n| n.to_string());
        return Err(format!(
            "its grid is {grid} in {mode} mode, expected 1 to {MAX_GRID_SIDE} in points mode and \
             none in box mode"
        ));
    }
    if !line.trains() {
        let Some(trainer) = before.iter().find(|b| b.id == line.training && b.trains()) else {
            return Err(format!("no line before it trains {}", line.training));
        };
        if trainer.train != line.train {
            return Err(format!("it is not trained as {} is", line.training));
        }
    }
    Ok(())
}
