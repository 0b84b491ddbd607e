//! `desam sweep status`: progress of a plan.

use crate::commands::flags::JsonFlag;
use crate::commands::json_path;
use crate::environment::WorkerIdentity;
use crate::output::Output;
use clap::Args;
use desam_study::sweep::{LineStatus, Plan, status};
use serde_json::json;
use std::path::PathBuf;

/// Show the state of each line of a plan
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Plan folder of `desam sweep plan`
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    #[command(flatten)]
    pub(super) json: JsonFlag,
}

/// Names of the states, in the order of the totals.
const STATES: [&str; 5] = ["done", "running", "interrupted", "failed", "waiting"];

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Output> {
    let plan = Plan::open(&arguments.plan)?;
    let lines = status(&plan, &WorkerIdentity::read()?.host)?;
    let count = |name: &str| lines.iter().filter(|l| l.state.name() == name).count();
    let totals: Vec<String> = STATES
        .iter()
        .filter(|name| count(name) > 0)
        .map(|name| format!("{} {name}", count(name)))
        .collect();
    let totals = format!("{} of {} lines", totals.join(", "), lines.len());
    let counts: serde_json::Map<_, _> =
        STATES.iter().map(|name| ((*name).to_owned(), json!(count(name)))).collect();
    let value = serde_json::to_value(&lines)?;
    let json = json!({ "plan": json_path(&arguments.plan), "counts": counts, "lines": value });
    Ok(Output::new(format!("{}\n\n{totals}", table(&lines)), json))
}

/// One row per line: index, name, state, detail.
fn table(lines: &[LineStatus]) -> String {
    let width = lines.iter().map(|l| l.id.len()).max().unwrap_or(0);
    let row = |line: &LineStatus| {
        let (state, detail) = (line.state.name(), line.state.detail());
        let text = format!("{:>5}  {:<width$}  {state:<11}  {detail}", line.index, line.id);
        text.trim_end().to_owned()
    };
    lines.iter().map(row).collect::<Vec<_>>().join("\n")
}
