//! `desam demo`: the whole workflow on phantoms, without downloads.

use super::values::{EPOCHS, enum_values, integer, seed};
use super::{Session, aligned};
use crate::commands::flags::JsonFlag;
use crate::output::Output;
use crate::terminal::duration;
use clap::Args;
use desam::Mode;
use desam::types::text::DisplayPath as _;
use desam_study::demo::{DemoConfig, DemoSummary, demo_on};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const AFTER: &str = "\
Contents of DIR:
  index.html        page with the table of scores, learning curves and cases
  slices.png        one slice of each site: prediction orange, ground truth blue
  data/, cache/     the phantoms and their features
  run/              the model and its training history
  evaluation.json   all scores; evaluation.csv has one row per case
  new/              a volume of none of the sites, and its predicted mask

Example:
  desam demo --out demo --seed 1";

/// Run the whole workflow on phantoms: embed, train on one site, evaluate on the others, segment
///
/// Downloads nothing and takes a few minutes on two cores. The image encoder is small and was trained
/// on generated scenes only, and the volumes are phantoms: the demo shows that the parts work
/// together, not how well DeSAM segments patients.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// Folder to write to; must not contain a demo yet
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,

    /// Random seed of the phantoms and of training
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true,
        value_parser = seed)]
    seed: u64,

    /// Number of phantoms at each of the six sites, 2 to 1000 [default: as many as the demo needs]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = integer(2..=1000))]
    cases_per_site: Option<usize>,

    /// Number of epochs, 1 to 100000 [default: as many as the demo needs]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = integer(EPOCHS))]
    epochs: Option<usize>,

    /// Prompts: a grid of points, or one box as large as the image [default: box]
    #[arg(long, value_name = "MODE", value_parser = enum_values::<Mode>())]
    mode: Option<Mode>,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

impl Arguments {
    fn config(&self) -> DemoConfig {
        let default = DemoConfig::default();
        DemoConfig {
            seed: self.seed,
            cases_per_site: self.cases_per_site.unwrap_or(default.cases_per_site),
            epochs: self.epochs.unwrap_or(default.epochs),
            mode: self.mode.unwrap_or(default.mode),
            ..default
        }
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    let config = arguments.config();
    session.detail(&format!("settings: {}", serde_json::to_string(&config)?));
    let started = Instant::now();
    let summary = demo_on(&arguments.out, &config, &session.device, &session.terminal)?;
    let took = started.elapsed();
    let text = text(&summary, took);
    let mut json = serde_json::to_value(&summary)?;
    if let Some(object) = json.as_object_mut() {
        object.insert("phantom".to_owned(), json!(true));
        object.insert("seconds".to_owned(), json!(took.as_secs_f64()));
    }
    Ok(Output::new(text, json))
}

fn text(summary: &DemoSummary, took: Duration) -> String {
    let rows = aligned(&[
        ("page", summary.page.display_escaped()),
        ("slices", summary.picture.display_escaped()),
        ("model", summary.training.model.display_escaped()),
        (
            "new volume",
            format!("{}, {}", summary.segmented.output.display_escaped(), summary.segmented.size),
        ),
        ("took", duration(took)),
    ]);
    format!(
        "{}\n\n{rows}\n\nThese scores are for phantoms and a small encoder. They show that the parts \
         work together; they say nothing about patients.",
        summary.evaluation.table().trim_end()
    )
}
