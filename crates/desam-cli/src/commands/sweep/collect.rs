//! `desam sweep collect`.

use super::paper_sites::PaperSitesFlag;
use crate::cli::JsonFlag;
use crate::commands::json_path;
use crate::commands::values::enum_values;
use crate::environment::WorkerIdentity;
use crate::output::Output;
use anyhow::Context;
use clap::Args;
use desam::sweep::{CollectConfig, MeanOver, Plan, collect};
use serde_json::json;
use std::path::PathBuf;

const AFTER: &str = "\
Rows are the paper's, and there is a column for each site. Where the plan, or --paper-sites here, says
that sites are the paper's, its columns come first and each of its figures stands beside ours; a row
that this program has no method for then has the paper's figures alone. A cell that the plan does not
have is a dot. Overall is the mean of the columns, and is there when they all are.

What is missing is an error for each run, and the exit code is 1, unless --partial is given.

Examples:
  desam sweep collect plan
  desam sweep collect plan --markdown > tables.md
  desam sweep collect plan --partial --json";

/// Print the paper's tables of what a plan came to
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    /// Folder that `desam sweep plan` wrote
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    /// Make do with what is there
    #[arg(long)]
    partial: bool,

    /// What "A to Rest" is the mean of: all cases of the other sites, as the official program
    /// reports it, or the sites' means
    #[arg(long, value_name = "OF", default_value = "cases",
        value_parser = enum_values::<MeanOver>())]
    mean: MeanOver,

    #[command(flatten)]
    paper: PaperSitesFlag,

    /// Print CSV: Dice in per cent, and of several seeds their spread and number
    #[arg(long, conflicts_with_all = ["markdown", "json"])]
    csv: bool,

    /// Print Markdown
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
    let mut text = match (arguments.csv, arguments.markdown) {
        (true, _) => all.csv()?,
        (_, true) => all.markdown(),
        _ => all.text(),
    };
    if arguments.partial && !arguments.csv {
        let blank = if arguments.markdown { "\n" } else { "" };
        text.extend(missing.iter().map(|line| format!("{blank}{line}\n")));
    }
    let mut json = serde_json::to_value(&all).context("the result cannot be written as JSON")?;
    if let Some(object) = json.as_object_mut() {
        object.insert("plan".to_owned(), json_path(&arguments.plan));
        object.insert("not_planned".to_owned(), json!(all.not_planned()));
    }
    let failures = if arguments.partial { Vec::new() } else { missing };
    Ok(Output { failures, ..Output::new(text, json) })
}
