//! `desam compare`: paired comparison of two evaluated runs.

use super::Session;
use super::flags::{BootstrapFlags, JsonFlag};
use super::values::enum_values;
use crate::output::Output;
use anyhow::bail;
use clap::Args;
use desam::metrics::metric::CaseMetric;
use desam::types::text::DisplayPath as _;
use desam_study::evaluate::{CompareConfig, Evaluation, Protocol, compare, find_scores};
use std::path::{Path, PathBuf};

const AFTER: &str = "\
Each RUN is a run folder, of which evaluation_PROTOCOL.json is read, or such a file. Both runs must \
have been evaluated in the same way (`desam evaluate`): the same protocol, border, target cases and \
voxels. Otherwise the difference is reported as an error. Different prompts are allowed and noted.

Columns of the table:
  B - A        mean difference; percentage points for metrics that are fractions
  interval     bootstrap confidence interval, cases resampled within their sites
  better       cases in which B is better than A; likewise worse
  Wilcoxon p   signed-rank test; exact up to 25 cases, else normal approximation with tie correction
  sign-flip p  paired permutation test; all sign flips up to 20 cases, random ones beyond
  Holm p       sign-flip p with Holm's correction for the number of target sites

Examples:
  desam compare run-points run-box
  desam compare run-a run-b --metric hd95 --bootstrap 50000 --json";

/// Compare two runs case by case: differences, confidence intervals and paired tests
///
/// Reports the second run minus the first, per site and over all sites not used for training.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// First run, A: folder or file of scores
    #[arg(value_name = "RUN_A")]
    a: PathBuf,

    /// Second run, B: folder or file of scores
    #[arg(value_name = "RUN_B")]
    b: PathBuf,

    /// Evaluation protocol of the scores to read from run folders
    #[arg(long, value_name = "PROTOCOL", default_value = "paper",
        value_parser = enum_values::<Protocol>())]
    protocol: Protocol,

    /// Metric to compare; see `desam evaluate --help`
    #[arg(long, value_name = "METRIC", default_value = "dice", value_parser = metric)]
    metric: CaseMetric,

    #[command(flatten)]
    bootstrap: BootstrapFlags,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// Parser of `--metric`.
fn metric(name: &str) -> Result<CaseMetric, String> {
    CaseMetric::from_typed(name).map_err(|e| e.to_string())
}

/// Reads the scores of a run folder that hold the metric, or a file of scores.
fn scores(run: &Path, arguments: &Arguments) -> anyhow::Result<Evaluation> {
    if !run.is_dir() {
        return Ok(Evaluation::read_json(run)?);
    }
    let protocol = arguments.protocol;
    let file = find_scores(run, protocol, arguments.metric);
    if !file.exists() {
        let run = run.display_escaped();
        bail!(
            "{run} has not been evaluated with the {protocol} protocol; run `desam evaluate --run {run} \
             --protocol {protocol}` first"
        );
    }
    Ok(Evaluation::read_json(&file)?)
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    let bootstrap = arguments.bootstrap.config_or_default()?;
    let config = CompareConfig { metric: arguments.metric, bootstrap };
    session.detail(&format!("settings: {}", serde_json::to_string(&config)?));
    let [a, b] = [&arguments.a, &arguments.b].map(|run| scores(run, arguments));
    let comparison = compare(&a?, &b?, &config)?;
    let json = serde_json::to_value(&comparison)?;
    let names =
        format!("A  {}\nB  {}", arguments.a.display_escaped(), arguments.b.display_escaped());
    Ok(Output::new(format!("{names}\n{}", comparison.table()), json))
}
