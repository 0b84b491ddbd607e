//! `desam sweep collect`: the paper's tables from finished runs.

use super::paper_sites::PaperSitesFlag;
use crate::commands::flags::JsonFlag;
use crate::commands::json_path;
use crate::commands::values::enum_values;
use crate::environment::WorkerIdentity;
use crate::output::Output;
use clap::Args;
use desam_study::sweep::{CollectConfig, MeanOver, Plan, collect};
use serde_json::json;
use std::path::PathBuf;

const AFTER: &str = "\
Tables have the paper's rows and one column per site. If the plan, or --paper-sites here, maps sites \
to the paper's, these columns come first and show the paper's scores next to ours. A method that is \
not implemented has the paper's scores only. A dot marks a cell that is not in the plan. Overall is \
the mean of the columns, shown only if none is missing.

Each missing run is an error, with exit code 1, unless --partial is given.

Examples:
  desam sweep collect plan
  desam sweep collect plan --markdown > tables.md
  desam sweep collect plan --partial --json";

/// Print the paper's tables with the scores of a plan
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Arguments {
    /// Plan folder of `desam sweep plan`
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    /// Print the tables even if runs are missing
    #[arg(long)]
    partial: bool,

    /// Averaging of "A to Rest": over all cases of the other sites, like the official program, or
    /// over the means of the sites
    #[arg(long, value_name = "OVER", default_value = "cases",
        value_parser = enum_values::<MeanOver>())]
    mean: MeanOver,

    #[command(flatten)]
    paper: PaperSitesFlag,

    /// Print CSV: Dice in percent and, for several seeds, their spread and number
    #[arg(long, conflicts_with_all = ["markdown", "json"])]
    csv: bool,

    /// Print Markdown tables
    #[arg(long, conflicts_with = "json")]
    markdown: bool,

    #[command(flatten)]
    pub(super) json: JsonFlag,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Output> {
    let plan = Plan::open(&arguments.plan)?;
    let config = CollectConfig { mean_over: arguments.mean, paper_sites: arguments.paper.sites() };
    let all = collect(&plan, &config, &WorkerIdentity::read()?.host)?;
    let missing: Vec<String> = all.missing.iter().map(ToString::to_string).collect();
    let mut text = if arguments.csv {
        all.csv()?
    } else if arguments.markdown {
        all.markdown()
    } else {
        all.text()
    };
    if arguments.partial && !arguments.csv {
        let blank = if arguments.markdown { "\n" } else { "" };
        text.extend(missing.iter().map(|line| format!("{blank}{line}\n")));
    }
    let mut json = serde_json::to_value(&all)?;
    if let Some(object) = json.as_object_mut() {
        object.insert("plan".to_owned(), json_path(&arguments.plan));
        object.insert("not_planned".to_owned(), json!(all.not_planned()));
    }
    let failures = if arguments.partial { Vec::new() } else { missing };
    Ok(Output { failures, ..Output::new(text, json) })
}
