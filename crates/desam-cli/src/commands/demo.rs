//! `desam demo`: everything once, with nothing downloaded.

use super::{EPOCHS, Session, aligned, one_of, seed, whole};
use crate::cli::JsonFlag;
use crate::progress::duration;
use crate::reply::Reply;
use anyhow::Context;
use clap::Args;
use desam::Mode;
use desam::types::text::DisplayPath as _;
use desam_study::demo::{DemoConfig, DemoSummary, demo_on};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const AFTER: &str = "\
What is in DIR afterwards:
  index.html        the table, the curves and the pictures, in one page
  slices.png        a slice of every site: prediction orange, truth blue
  data/, cache/     the phantoms and their features
  run/              the model and its history
  evaluation.json   all scores; evaluation.csv a row a case
  new/              a volume that is in no site, and its mask

Example:
  desam demo --out demo --seed 1";

/// Do everything once on phantoms: embed, train on one site, score the others, segment a volume
///
/// Nothing is downloaded, and a few minutes on two cores are enough. The image encoder is small,
/// taught by generated scenes alone, and the volumes are phantoms: this shows that the parts work
/// together, not how well DeSAM segments patients.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// Folder to write to; must not hold a demonstration yet
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,

    /// Seed of phantoms and training
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true,
        value_parser = seed)]
    seed: u64,

    /// Phantoms at each of the six sites, at least 2 [default: as many as the demonstration needs]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(1..=1000))]
    cases_per_site: Option<usize>,

    /// Passes over the training slices [default: as many as the demonstration needs]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(EPOCHS))]
    epochs: Option<usize>,

    /// How the model is prompted [default: points]
    #[arg(long, value_name = "MODE", value_parser = one_of::<Mode>(&["points", "box"]))]
    mode: Option<Mode>,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

impl Arguments {
    fn config(&self) -> DemoConfig {
        let usual = DemoConfig::default();
        DemoConfig {
            seed: self.seed,
            cases_per_site: self.cases_per_site.unwrap_or(usual.cases_per_site),
            epochs: self.epochs.unwrap_or(usual.epochs),
            mode: self.mode.unwrap_or(usual.mode),
            ..usual
        }
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let config = arguments.config();
    session.detail(&format!("settings: {}", serde_json::to_string(&config)?));
    let started = Instant::now();
    let summary = demo_on(&arguments.out, &config, &session.device, &session.screen)?;
    let took = started.elapsed();
    let text = text(&summary, took);
    let mut json =
        serde_json::to_value(&summary).context("the result cannot be written as JSON")?;
    if let Some(object) = json.as_object_mut() {
        object.insert("phantom".to_owned(), json!(true));
        object.insert("seconds".to_owned(), json!(took.as_secs_f64()));
    }
    Ok(Reply::new(text, json))
}

fn text(summary: &DemoSummary, took: Duration) -> String {
    let rows = aligned(&[
        ("page", summary.page.display_escaped()),
        ("pictures", summary.picture.display_escaped()),
        ("model", summary.training.model.display_escaped()),
        (
            "new volume",
            format!(
                "{}, {:.1} ml",
                summary.segmented.output.display_escaped(),
                summary.segmented.volume_ml
            ),
        ),
        ("took", duration(took)),
    ]);
    format!(
        "{}\n\n{rows}\n\nThese are phantoms under a small encoder: the parts work \
         together, and no figure here says anything about patients.",
        summary.evaluation.table().trim_end()
    )
}
