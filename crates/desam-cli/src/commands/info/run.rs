//! Description of a training run.

use super::aligned;
use crate::commands::json_path;
use crate::output::Output;
use desam::types::text::DisplayPath as _;
use desam_study::train::RunDir;
use serde_json::json;
use std::path::Path;

pub(super) fn describe(path: &Path) -> anyhow::Result<Output> {
    let run = RunDir::open(path)?;
    let (config, manifest) = (run.config()?, run.manifest()?);
    // During the first epoch there is no history file yet.
    let history = if manifest.epochs_done == 0 { Vec::new() } else { run.history()? };
    let best = history.iter().rfind(|row| row.best);
    let state = if manifest.finished { "finished" } else { "not finished" };
    let train = &config.train;
    let mut how = format!("{}, {} mode, preset {}", train.source, train.mode, train.preset);
    if !train.precision.is_f32() {
        how.push_str(&format!(", in {}", train.precision));
    }
    let text = aligned(&[
        ("run", path.display_escaped()),
        ("state", format!("{state}: {} of {} epochs", manifest.epochs_done, train.epochs)),
        ("trained on", how),
        ("variant", train.variant.to_string()),
        ("classes", train.classes.to_string()),
        (
            "cases",
            format!(
                "{} for training, {} held out ({})",
                manifest.train_cases.len(),
                manifest.validation_cases.len(),
                manifest.validation_cases.join(", ")
            ),
        ),
        (
            "slices",
            format!(
                "{} for training, {} held out",
                manifest.train_slices, manifest.validation_slices
            ),
        ),
        (
            "best epoch",
            best.map_or_else(
                || "none yet".to_owned(),
                |row| format!("{}: validation Dice {:.4}", row.epoch, row.validation_dice),
            ),
        ),
        (
            "model",
            if run.model_path().is_file() {
                run.model_path().display_escaped()
            } else {
                "none yet".to_owned()
            },
        ),
        ("trained parameters", manifest.trainable_numbers.to_string()),
        ("cache", format!("{} (key {})", manifest.cache.display_escaped(), manifest.cache_key)),
        ("written by", format!("desam {}", manifest.desam_version)),
    ]);
    let json = json!({
        "kind": "run",
        "path": json_path(path),
        "config": config,
        "manifest": manifest,
        "history": history,
        "model": run.model_path().is_file().then(|| json_path(&run.model_path())),
    });
    Ok(Output::new(text, json))
}
