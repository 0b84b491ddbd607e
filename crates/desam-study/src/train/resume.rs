//! A run from its beginning, or from where it was stopped.

use super::checkpoint::{Checkpoints, Seal};
use super::{Extension, Run, RunConfig, RunManifest, RunOptions, Snapshot};
use crate::{Error, Result};
use desam_core::Progress;
use desam_core::text::DisplayPath as _;
use serde_json::Value;
use std::path::Path;

/// A run that can go on.
pub(super) struct Begun {
    pub(super) run: Run,
    pub(super) config: RunConfig,
    pub(super) manifest: RunManifest,
    pub(super) checkpoints: Checkpoints,
    pub(super) seal: Seal,
    /// Where it goes on; `None` at its beginning.
    pub(super) snapshot: Option<Snapshot>,
}

/// Makes the run in `out`, or finds it there.
pub(super) fn begin(
    out: &Path,
    (wanted, fresh): (RunConfig, RunManifest),
    options: &RunOptions<'_>,
    progress: &dyn Progress,
) -> Result<Begun> {
    let seal = Seal::new(&wanted, &fresh)?;
    let keep = options.keep_checkpoints;
    if options.resume && Run::exists(out) {
        let run = Run::open(out)?;
        let checkpoints = Checkpoints::new(run.checkpoints(), keep);
        let begun =
            Begun { run, config: wanted, manifest: fresh, checkpoints, seal, snapshot: None };
        return begun.go_on(progress);
    }
    if options.resume {
        progress.say(&format!("{} holds no run yet: it is begun", out.display_escaped()));
    }
    let run = Run::create(out, &wanted)?;
    run.write_manifest(&fresh)?;
    let checkpoints = Checkpoints::new(run.checkpoints(), keep);
    Ok(Begun { run, config: wanted, manifest: fresh, checkpoints, seal, snapshot: None })
}

impl Begun {
    /// Whether nothing is left to be done.
    pub(super) fn finished(&self) -> bool {
        self.manifest.epochs_done >= self.config.train.epochs
    }

    /// From what is wanted to what the run's folder holds.
    fn go_on(mut self, progress: &dyn Progress) -> Result<Self> {
        let stored = self.run.config()?;
        self.same_settings(&stored)?;
        // A run that was killed at its very start may have no manifest yet.
        let former = match self.run.has_manifest() {
            true => Some(self.run.manifest()?),
            false => None,
        };
        if let Some(former) = &former {
            self.same_inputs(former, progress)?;
        }
        let done = former.as_ref().map_or(0, |m| m.epochs_done);
        let epochs = self.config.train.epochs;
        if done >= epochs && stored.train.epochs == epochs {
            (self.manifest.epochs_done, self.manifest.finished) = (done, true);
            self.manifest.best_epoch = former.and_then(|m| m.best_epoch);
            self.best_is_there(self.manifest.best_epoch)?;
            self.config = stored;
            progress.say(&format!("the run is finished: {done} of {epochs} epochs are done"));
            return Ok(self);
        }
        self.checkpoints.sweep(self.run.dir())?;
        self.snapshot = self.checkpoints.newest(&self.seal, progress)?;
        if self.snapshot.is_none() && done > 0 {
            let reason = "its checkpoints are gone, so it cannot be continued; its best model is \
                          not touched by that: train anew with another --out";
            return Err(Error::file(self.run.dir(), reason));
        }
        let best = self.snapshot.as_ref().and_then(|s| s.position.best());
        self.best_is_there(best.map(|row| row.epoch))?;
        self.lengthen(stored, progress)?;
        self.describe(progress);
        self.run.write_manifest(&self.manifest)?;
        Ok(self)
    }

    /// Refuses other settings; only the number of epochs may have grown.
    fn same_settings(&self, stored: &RunConfig) -> Result<()> {
        let text = serde_json::to_string(&self.config);
        // Through the same parser as the file, so that a number that it rounds differs in neither.
        let wanted = text.and_then(|text| serde_json::from_str::<RunConfig>(&text));
        let json = |config: RunConfig| serde_json::to_value(config.without_length());
        let both = wanted.and_then(|w| Ok((json(stored.clone())?, json(w)?)));
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

    /// Refuses other features and weights.
    fn same_inputs(&self, former: &RunManifest, progress: &dyn Progress) -> Result<()> {
        let (was, now) = (former, &self.manifest);
        let init = |m: &RunManifest| match &m.init {
            Some(file) => file.blake3.clone(),
            None => "none".to_owned(),
        };
        let pairs = [
            ("cache key", was.cache_key.clone(), now.cache_key.clone()),
            ("weights", was.weights.blake3.clone(), now.weights.blake3.clone()),
            ("init", init(was), init(now)),
        ];
        let differing = pairs.into_iter().filter(|(_, was, now)| was != now);
        self.refuse(differing.map(|(name, w, n)| format!("{name}: was {w}, now {n}")).collect())?;
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
        let reason = format!(
            "the run was begun with other settings: {}; give the same, or another --out for a \
             new run",
            differences.join("; ")
        );
        Err(Error::file(self.run.dir(), reason))
    }

    /// Takes the stored schedule, and writes it anew where the run shall be longer.
    fn lengthen(&mut self, stored: RunConfig, progress: &dyn Progress) -> Result<()> {
        let (was, now) = (stored.train.epochs, self.config.train.epochs);
        self.config.train.extended = stored.train.extended;
        if now == was {
            return Ok(());
        }
        // An epoch whose row is written has been trained, even where its checkpoint is lost.
        let reached = self.snapshot.as_ref().map_or(0, |s| s.position.reached());
        let at = reached.max(self.run.rows()?);
        if at > 0 {
            self.config.train.extended.push(Extension { at, epochs: was });
        }
        self.config.train.validate()?;
        self.run.write_config(&self.config)?;
        progress.say(&format!(
            "extended from {was} to {now} epochs: learning rates follow the longer schedule after \
             epoch {at}"
        ));
        Ok(())
    }

    /// The best model is no part of a checkpoint: what an epoch left must be in its own file.
    fn best_is_there(&self, best: Option<usize>) -> Result<()> {
        match best.filter(|_| !self.run.model_path().is_file()) {
            None => Ok(()),
            Some(epoch) => {
                let reason = format!(
                    "is gone: it held the best model, of epoch {epoch}; put it back, or train anew \
                     with another --out"
                );
                Err(Error::file(&self.run.model_path(), reason))
            }
        }
    }

    /// Says where the run goes on, in its manifest too.
    fn describe(&mut self, progress: &dyn Progress) {
        let Some(Snapshot { position, .. }) = &self.snapshot else {
            progress.say("no checkpoint was written yet: the run starts from its beginning");
            return;
        };
        let manifest = &mut self.manifest;
        manifest.epochs_done = position.epoch;
        manifest.best_epoch = position.best().map(|row| row.epoch);
        manifest.finished = position.epoch >= self.config.train.epochs;
        let at = match position.step {
            0 => format!("after epoch {}", position.epoch),
            step => format!("in epoch {} after step {step}", position.epoch + 1),
        };
        progress.say(&format!("continuing {at}"));
    }
}

/// Where two values differ, as `path: was a, now b`.
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
    fn what_differs_is_shown_with_both_values() {
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
