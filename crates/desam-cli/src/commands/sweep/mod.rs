//! `desam sweep`: reproduction of the paper's tables, on one machine or many.

mod collect;
mod paper_sites;
mod plan;
mod run;
mod status;

use super::Session;
use crate::commands::flags::JsonFlag;
use crate::output::Output;
use clap::{Args, Subcommand};

const AFTER: &str = "\
A plan is a folder with a list of lines, one per run: source site, mode, decoder, seed and grid. Runs \
are independent of each other, and each can be restarted at any time: finished work is kept. Lines \
that differ only in the grid share one model: one of them trains it, the others evaluate it. Lines \
that train come first.

Examples:
  desam sweep plan --table 1 --table 3 --cache cache --out plan
  desam sweep run plan --all                               all runs, one after the other
  desam sweep run plan --index 4                           one run
  sbatch --array=0-17%6 deploy/slurm/sweep.sbatch plan     one run per Slurm task
  desam sweep status plan
  desam sweep collect plan";

/// Reproduce the paper's tables: plan the runs, run them on one machine or many, collect the scores
#[derive(Debug, Args)]
#[command(after_help = AFTER, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    Plan(Box<plan::Arguments>),
    Run(run::Arguments),
    Status(status::Arguments),
    Collect(collect::Arguments),
}

impl Arguments {
    /// Whether the step runs a model.
    pub(crate) fn computes(&self) -> bool {
        matches!(self.step, Step::Run(_))
    }

    /// `--json` of the step.
    pub(crate) fn json_flag(&self) -> JsonFlag {
        match &self.step {
            Step::Plan(a) => a.json,
            Step::Run(a) => a.json,
            Step::Status(a) => a.json,
            Step::Collect(a) => a.json,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    match &arguments.step {
        Step::Plan(a) => plan::run(a, session),
        Step::Run(a) => run::run(a, session),
        Step::Status(a) => status::run(a),
        Step::Collect(a) => collect::run(a),
    }
}
