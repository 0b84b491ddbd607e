//! Starting a run, or resuming one from its newest checkpoint.

use super::checkpoint::{CheckpointKey, Checkpoints};
use super::{Extension, RunConfig, RunDir, RunManifest, RunOptions, TrainState};
use crate::{Error, Result};
use desam_core::Progress;
use desam_core::text::DisplayPath as _;
use serde_json::Value;
use std::path::Path;

/// A run whose training can start or continue.
pub(super) struct OpenRun {
    pub(super) dir: RunDir,
    pub(super) config: RunConfig,
    pub(super) manifest: RunManifest,
    pub(super) checkpoints: Checkpoints,
    pub(super) key: CheckpointKey,
    /// The state to continue from; `None` at the start.
    pub(super) state: Option<TrainState>,
}

/// Creates the run in `out`, or resumes the one there.
pub(super) fn open_run(
    out: &Path,
    config: RunConfig,
    manifest: RunManifest,
    options: &RunOptions<'_>,
    progress: &dyn Progress,
) -> Result<OpenRun> {
    let key = CheckpointKey::new(&config, &manifest)?;
    let keep = options.keep_checkpoints;
    if options.resume && RunDir::exists(out) {
        let dir = RunDir::open(out)?;
        let checkpoints = Checkpoints::new(dir.checkpoints(), keep);
        return OpenRun { dir, config, manifest, checkpoints, key, state: None }.resume(progress);
    }
    if options.resume {
        progress.say(&format!("{} holds no run yet: it is begun", out.display_escaped()));
    }
    let dir = RunDir::create(out, &config)?;
    dir.write_manifest(&manifest)?;
    let checkpoints = Checkpoints::new(dir.checkpoints(), keep);
    Ok(OpenRun { dir, config, manifest, checkpoints, key, state: None })
}

impl OpenRun {
    /// Whether all epochs are done.
    pub(super) fn is_finished(&self) -> bool {
        self.manifest.epochs_done >= self.config.train.epochs
    }

    /// Checks the requested run against the stored one and loads the stored state.
    fn resume(mut self, progress: &dyn Progress) -> Result<Self> {
        let stored = self.dir.config()?;
        self.check_settings(&stored)?;
        // A run that was killed right after its start may have no manifest yet.
        let former = if self.dir.has_manifest() { Some(self.dir.manifest()?) } else { None };
        if let Some(former) = &former {
            self.check_inputs(former, progress)?;
        }
        let done = former.as_ref().map_or(0, |m| m.epochs_done);
        let epochs = self.config.train.epochs;
        if done >= epochs && stored.train.epochs == epochs {
            (self.manifest.epochs_done, self.manifest.finished) = (done, true);
            self.manifest.best_epoch = former.and_then(|m| m.best_epoch);
            self.check_best_model(self.manifest.best_epoch)?;
            self.config = stored;
            progress.say(&format!("the run is finished: {done} of {epochs} epochs are done"));
            return Ok(self);
        }
        self.checkpoints.remove_leftovers(self.dir.dir())?;
        self.state = self.checkpoints.newest(&self.key, progress)?;
        if self.state.is_none() && done > 0 {
            return Err(Error::CheckpointsMissing { dir: self.dir.dir().to_owned() });
        }
        let best = self.state.as_ref().and_then(|s| s.progress.best());
        self.check_best_model(best.map(|row| row.epoch))?;
        self.extend(stored, progress)?;
        self.report_position(progress);
        self.dir.write_manifest(&self.manifest)?;
        Ok(self)
    }

    /// Refuses changed settings. Only the number of epochs may grow.
    fn check_settings(&self, stored: &RunConfig) -> Result<()> {
        let text = serde_json::to_string(&self.config);
        // Through the same parser as the file, so that a number it rounds is rounded in both.
        let requested = text.and_then(|text| serde_json::from_str::<RunConfig>(&text));
        let json = |config: RunConfig| serde_json::to_value(config.without_length());
        let both = requested.and_then(|r| Ok((json(stored.clone())?, json(r)?)));
        let (was, now) =
            both.map_err(|e| Error::Invalid(format!("the configuration cannot be written: {e}")))?;
        let mut found = Vec::new();
        differences("", &was, &now, &mut found);
        let (was, now) = (stored.train.epochs, self.config.train.epochs);
        if now < was {
            found.push(format!("epochs: was {was}, now {now} (a run may grow, not shrink)"));
        }
        self.refuse(found)
    }

    /// Refuses other features and weights; another version or device is only reported.
    fn check_inputs(&self, former: &RunManifest, progress: &dyn Progress) -> Result<()> {
        let (was, now) = (former, &self.manifest);
        let init = |m: &RunManifest| match &m.init {
            Some(file) => file.blake3.clone(),
            None => "none".to_owned(),
        };
        // Both train with views or neither does, by their settings; a manifest without them is of a version
        // that did not record them.
        let views = |m: &RunManifest| m.views.clone().unwrap_or_default();
        let unrecorded = was.views.is_none() && now.views.is_some();
        let former_views = if unrecorded { views(now) } else { views(was) };
        let pairs = [
            ("cache key", was.cache_key.clone(), now.cache_key.clone()),
            ("style views", former_views, views(now)),
            ("weights", was.weights.blake3.clone(), now.weights.blake3.clone()),
            ("init", init(was), init(now)),
        ];
        let differing = pairs.into_iter().filter(|(_, was, now)| was != now);
        self.refuse(differing.map(|(name, w, n)| format!("{name}: was {w}, now {n}")).collect())?;
        if unrecorded {
            progress.say(&format!(
                "the run was begun before style views were recorded: it continues with those of the cache, \
                 {}",
                views(now)
            ));
        }
        if was.desam_version != now.desam_version {
            progress.say(&format!(
                "the run was begun by desam {}, this is desam {}: its bits may differ from an \
                 unbroken run's",
                was.desam_version, now.desam_version
            ));
        }
        if !was.device.eq_ignore_ascii_case(&now.device) {
            progress.say(&format!(
                "the run was begun on {}, this is {}: they round differently, so its bits will \
                 differ from an unbroken run's",
                was.device, now.device
            ));
        }
        Ok(())
    }

    fn refuse(&self, differences: Vec<String>) -> Result<()> {
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::SettingsDiffer { dir: self.dir.dir().to_owned(), differences })
    }

    /// Takes over the stored learning-rate schedule and, for more epochs, records the extension.
    fn extend(&mut self, stored: RunConfig, progress: &dyn Progress) -> Result<()> {
        let (was, now) = (stored.train.epochs, self.config.train.epochs);
        self.config.train.extended = stored.train.extended;
        if now == was {
            return Ok(());
        }
        // An epoch with a row in the history was trained, even where its checkpoint is lost.
        let started = self.state.as_ref().map_or(0, |s| s.progress.epochs_started());
        let at = started.max(self.dir.history_rows()?);
        if at > 0 {
            self.config.train.extended.push(Extension { at, epochs: was });
        }
        self.config.train.validate()?;
        self.dir.write_config(&self.config)?;
        progress.say(&format!(
            "extended from {was} to {now} epochs: learning rates follow the longer schedule after \
             epoch {at}"
        ));
        Ok(())
    }

    /// Checks that the best model's file exists, since checkpoints do not contain the best model.
    fn check_best_model(&self, best: Option<usize>) -> Result<()> {
        match best {
            Some(epoch) if !self.dir.model_path().is_file() => {
                Err(Error::BestModelMissing { path: self.dir.model_path(), epoch })
            }
            _ => Ok(()),
        }
    }

    /// Reports where the run continues, and updates its manifest to that.
    fn report_position(&mut self, progress: &dyn Progress) {
        let Some(TrainState { progress: at, .. }) = &self.state else {
            progress.say("no checkpoint was written yet: the run starts from its beginning");
            return;
        };
        let manifest = &mut self.manifest;
        manifest.epochs_done = at.epoch;
        manifest.best_epoch = at.best().map(|row| row.epoch);
        manifest.finished = at.epoch >= self.config.train.epochs;
        let position = match at.step {
            0 => format!("after epoch {}", at.epoch),
            step => format!("in epoch {} after step {step}", at.epoch + 1),
        };
        progress.say(&format!("continuing {position}"));
    }
}

/// Appends to `found` where two JSON values differ, as `path: was a, now b`.
fn differences(path: &str, was: &Value, now: &Value, found: &mut Vec<String>) {
    let (Value::Object(a), Value::Object(b)) = (was, now) else {
        if was != now {
            let path = path.strip_prefix("train.").unwrap_or(path);
            found.push(format!("{path}: was {was}, now {now}"));
        }
        return;
    };
    let new = b.keys().filter(|key| !a.contains_key(*key));
    for key in a.keys().chain(new) {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
        differences(&below, &of(a), &of(b), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_listed_with_both_values() {
        let was = json!({"train": {"batch": 8, "loss": {"dice": 1.0, "iou": null}}, "decoder": {"a": [1]}});
        let now = json!({"train": {"batch": 4, "loss": {"dice": 1.0, "iou": {"weight": 2.0}}, "ema": 0.5},
            "decoder": {"a": [1, 2]}});
        let mut found = Vec::new();
        differences("", &was, &now, &mut found);
        found.sort();
        let expected = [
            "batch: was 8, now 4",
            "decoder.a: was [1], now [1,2]",
            "ema: was null, now 0.5",
            "loss.iou: was null, now {\"weight\":2.0}",
        ];
        assert_eq!(found, expected);
        let mut none = Vec::new();
        differences("", &was, &was, &mut none);
        assert!(none.is_empty());
    }
}
