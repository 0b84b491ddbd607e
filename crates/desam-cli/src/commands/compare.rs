//! `desam compare`: two runs on the same cases.

use super::draws::Draws;
use super::{Session, one_of};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::{Context, bail};
use clap::Args;
use desam::metrics::metric::CaseMetric;
use desam::types::text::DisplayPath as _;
use desam_study::evaluate::{CompareConfig, Evaluation, Protocol, compare, find_scores};
use std::path::{Path, PathBuf};

const AFTER: &str = "\
RUN is a run's folder, of which evaluation_PROTOCOL.json is read, or such a file. Both must have
been scored alike (`desam evaluate`): the same protocol and border, the same cases of the target
sites, the same voxels; what differs is said. Other prompts are allowed and noted.

Columns:
  B - A        mean difference, in percentage points for shares
  interval     bootstrap over cases within their sites
  better       cases in which B is better than A; worse likewise
  Wilcoxon p   signed ranks; exact up to 25 cases, else normal with ties corrected for
  sign-flip p  the mean difference under all signs, or drawn ones beyond 20 cases
  Holm p       the sign-flip p, corrected for the number of target sites

Examples:
  desam compare run-points run-box
  desam compare run-a run-b --metric hd95 --bootstrap 50000 --json";

/// Compare two runs case by case: differences, intervals and paired tests
///
/// The second run less the first, per site and over the sites that training never saw.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// The first run, A
    #[arg(value_name = "RUN_A")]
    a: PathBuf,

    /// The second run, B
    #[arg(value_name = "RUN_B")]
    b: PathBuf,

    /// Which scores of a run's folder are read
    #[arg(long, value_name = "PROTOCOL", default_value = "paper",
        value_parser = one_of::<Protocol>(&["paper", "full"]))]
    protocol: Protocol,

    /// The metric to compare by, as `desam evaluate` knows them
    #[arg(long, value_name = "METRIC", default_value = "dice", value_parser = metric)]
    metric: CaseMetric,

    #[command(flatten)]
    draws: Draws,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

fn metric(name: &str) -> Result<CaseMetric, String> {
    CaseMetric::from_typed(name).map_err(|e| e.to_string())
}

/// The evaluation of a run's folder that holds the metric, or the one in a file.
fn scores(run: &Path, arguments: &Arguments) -> anyhow::Result<Evaluation> {
    if !run.is_dir() {
        return Ok(Evaluation::read_json(run)?);
    }
    let protocol = arguments.protocol;
    let file = find_scores(run, protocol, arguments.metric);
    if !file.exists() {
        let run = run.display_escaped();
        bail!(
            "{run} has no scores of the {protocol} protocol; run `desam evaluate --run {run} \
             --protocol {protocol}` first"
        );
    }
    Ok(Evaluation::read_json(&file)?)
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let bootstrap = arguments.draws.config_or_default()?;
    let config = CompareConfig { metric: arguments.metric, bootstrap };
    session.detail(&format!("settings: {}", serde_json::to_string(&config)?));
    let [a, b] = [&arguments.a, &arguments.b].map(|run| scores(run, arguments));
    let comparison = compare(&a?, &b?, &config)?;
    let json = serde_json::to_value(&comparison).context("the result cannot be written as JSON")?;
    let names =
        format!("A  {}\nB  {}", arguments.a.display_escaped(), arguments.b.display_escaped());
    Ok(Reply::new(format!("{names}\n{}", comparison.table()), json))
}
