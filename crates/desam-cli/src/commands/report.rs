//! `desam report`: an HTML page about one or several runs.

use super::flags::{BootstrapFlags, JsonFlag};
use super::output_files::{ensure_parent_dir, note_overwrite};
use super::values::{enum_values, integer};
use super::{Session, aligned};
use crate::output::Output;
use clap::Args;
use desam::data::cache::human_bytes;
use desam::types::Progress;
use desam::types::text::DisplayPath as _;
use desam::types::text::path_for_people;
use desam_study::evaluate::Protocol;
use desam_study::report::{GalleryConfig, ReportRequest, ReportSummary, RunSource, report};
use desam_study::sweep::Plan;
use std::path::PathBuf;

const AFTER: &str = "\
Each RUN must have been evaluated (`desam evaluate`). The page shows the scores from source to target \
sites with confidence intervals, and for each run its scores, learning curves, configuration, a \
sortable table of all cases, and its worst and best cases slice by slice (prediction orange, ground \
truth blue). To draw those slices, the cases are predicted again from the features that the run was \
evaluated on; `--cases 0` skips this.

Runs share a table only if they were evaluated with the same protocol, prompts, border, mask size, \
precision, policy for empty masks and preprocessing. Other runs get separate tables, and the page \
lists the settings that differ. An existing page is overwritten, with a note.

The page is one HTML file that loads nothing from elsewhere: it contains its pictures (at most 24 MiB; \
cases beyond that are left out and listed) and one script, without which it is still readable.

Examples:
  desam report run --out run.html
  desam report run-* --out sites.html --cases 1
  desam report plan --out sweep.html --cases 0
  desam report run --out small.html --cases 0";

/// Write a self-contained HTML page about one or several runs
///
/// Runs appear in the order in which they are given. A sweep's plan stands for all of its evaluated
/// runs.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// Evaluated run folders, folders of `desam sweep plan`, or files of scores in a run folder, such
    /// as run/evaluation_paper_border0.json
    #[arg(value_name = "RUN|PLAN", required = true)]
    runs: Vec<PathBuf>,

    /// HTML file to write
    #[arg(long, value_name = "PAGE.html")]
    out: PathBuf,

    /// Evaluation protocol of the scores to show for each RUN; a PLAN has its own
    #[arg(long, value_name = "PROTOCOL", default_value = "paper",
        value_parser = enum_values::<Protocol>())]
    protocol: Protocol,

    /// Feature cache to predict the shown cases from [default: the cache that each run was evaluated
    /// on]
    #[arg(long, value_name = "CACHE")]
    cache: Option<PathBuf>,

    /// Number of worst and of best cases to show for each run, 0 to 1000
    #[arg(long, value_name = "N", default_value_t = GalleryConfig::default().cases_each,
        allow_negative_numbers = true, value_parser = integer(0..=1000))]
    cases: usize,

    /// Maximum number of slices to show for each case, 0 to 1000
    #[arg(long, value_name = "N", default_value_t = GalleryConfig::default().slices,
        allow_negative_numbers = true, value_parser = integer(0..=1000))]
    slices: usize,

    /// Heading of the page [default: names the source site]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    #[command(flatten)]
    bootstrap: BootstrapFlags,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    let bootstrap = arguments.bootstrap.config_or_default()?;
    let mut runs = Vec::new();
    for folder in &arguments.runs {
        if folder.join("plan.jsonl").is_file() {
            let (done, missing) = RunSource::of_plan(&Plan::open(folder)?)?;
            if !missing.is_empty() {
                let (folder, missing) = (folder.display_escaped(), missing.join(", "));
                session.terminal.say(&format!("{folder}: not evaluated yet: {missing}"));
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
    let gallery =
        GalleryConfig::default().with_cases_each(arguments.cases).with_slices(arguments.slices);
    let request = ReportRequest::new(&runs)
        .with_title(arguments.title.as_deref())
        .with_gallery(gallery)
        .with_bootstrap(bootstrap)
        .with_device(session.device.clone());
    ensure_parent_dir(&arguments.out)?;
    note_overwrite(&arguments.out, session);
    let summary = report(&request, &arguments.out, &session.terminal)?;
    let json = serde_json::to_value(&summary)?;
    Ok(Output::new(text(&summary), json))
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
        rows.push(("left out (page size)", summary.left_out.join(", ")));
    }
    aligned(&rows)
}
