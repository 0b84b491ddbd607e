//! `desam report`: runs as one page.

use super::draws::Draws;
use super::overwrite::say_replaced;
use super::{Session, aligned, one_of, room_for, whole};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::Context;
use clap::Args;
use desam::core::Progress;
use desam::core::text::DisplayPath as _;
use desam::core::text::path_for_people;
use desam::data::cache::human_bytes;
use desam_study::evaluate::Protocol;
use desam_study::report::{GalleryConfig, ReportRequest, ReportSummary, RunSource, report};
use desam_study::sweep::Plan;
use std::path::PathBuf;

const AFTER: &str = "\
Each RUN must have been scored (`desam evaluate`). On the page: a map from source to target sites
with intervals, and of each run its scores, curves, configuration, a table of all cases that sorts,
and its worst and best cases slice by slice, prediction orange, truth blue. Those few cases are
predicted again from the features that the run was scored with; `--cases 0` does without.

Runs share a table only where they were scored alike: by the same protocol, prompts, border, side of
the masks, precision, policy on empty masks and preprocessing. Others get tables of their own, and the
page says in what they differ. A page that is there already is replaced, and that is said.

The page is one file that loads nothing: pictures are in it (at most 24 MiB of them; cases beyond are
left out and named), and so is its only script, without which it can still be read.

Examples:
  desam report run --out run.html
  desam report run-* --out sites.html --cases 1
  desam report plan --out sweep.html --cases 0
  desam report run --out small.html --cases 0";

/// Write one self-contained page on one or several runs
///
/// Runs are shown in the order they are given; a sweep's plan stands for its runs that are scored.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// Folders of `desam train`, scored by `desam evaluate`, or of `desam sweep plan`; or a file of
    /// scores in a run's folder, such as run/evaluation_paper_border0.json
    #[arg(value_name = "RUN|PLAN", required = true)]
    runs: Vec<PathBuf>,

    /// The page to write
    #[arg(long, value_name = "PAGE.html")]
    out: PathBuf,

    /// Which scores are shown of a RUN; a PLAN says itself which it has
    #[arg(long, value_name = "PROTOCOL", default_value = "paper",
        value_parser = one_of::<Protocol>(&["paper", "full"]))]
    protocol: Protocol,

    /// Folder of features to draw cases from [default: the one each run was scored with]
    #[arg(long, value_name = "CACHE")]
    cache: Option<PathBuf>,

    /// Worst cases to show of each run, and as many best ones
    #[arg(long, value_name = "N", default_value_t = GalleryConfig::default().cases_each,
        allow_negative_numbers = true, value_parser = whole(0..=1000))]
    cases: usize,

    /// Most slices to show of a case
    #[arg(long, value_name = "N", default_value_t = GalleryConfig::default().slices,
        allow_negative_numbers = true, value_parser = whole(0..=1000))]
    slices: usize,

    /// Heading of the page [default: which site was trained on]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    #[command(flatten)]
    draws: Draws,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let mut runs = Vec::new();
    for folder in &arguments.runs {
        if folder.join("plan.jsonl").is_file() {
            let (done, missing) = RunSource::of_plan(&Plan::open(folder)?)?;
            if !missing.is_empty() {
                let (folder, missing) = (folder.display_escaped(), missing.join(", "));
                session.screen.say(&format!("{folder}: not scored yet: {missing}"));
            }
            runs.extend(done);
        } else if folder.is_file() {
            runs.push(RunSource::of_scores(folder));
        } else {
            runs.push(RunSource::of(folder, arguments.protocol));
        }
    }
    if let Some(cache) = &arguments.cache {
        runs.iter_mut().for_each(|run| run.cache = Some(cache.clone()));
    }
    let (cases_each, slices) = (arguments.cases, arguments.slices);
    let gallery = GalleryConfig { cases_each, slices, ..GalleryConfig::default() };
    let request = ReportRequest::new(&runs)
        .with_title(arguments.title.as_deref())
        .with_gallery(gallery)
        .with_bootstrap(arguments.draws.config_or_default()?)
        .with_device(session.device.clone());
    room_for(&arguments.out)?;
    say_replaced(&arguments.out, session);
    let summary = report(&request, &arguments.out, &session.screen)?;
    let json = serde_json::to_value(&summary).context("the result cannot be written as JSON")?;
    Ok(Reply::new(text(&summary), json))
}

fn text(summary: &ReportSummary) -> String {
    let page = format!("{} ({})", path_for_people(&summary.page), human_bytes(summary.bytes));
    let mut rows = vec![
        ("page", page),
        ("runs", summary.runs.to_string()),
        ("tables", summary.tables.to_string()),
        ("cases shown", summary.cases_shown.to_string()),
    ];
    if !summary.left_out.is_empty() {
        rows.push(("left out for size", summary.left_out.join(", ")));
    }
    aligned(&rows)
}
