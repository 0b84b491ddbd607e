//! `desam sweep`: the paper's tables, as runs for one machine or many.

mod collect;
mod paper_sites;
mod plan;
mod run;
mod status;

use super::Session;
use crate::cli::JsonFlag;
use crate::output::Output;
use clap::{Args, Subcommand};

const AFTER: &str = "\
A plan is a folder of lines, one a run: a source site, a mode, a decoder, a seed, a grid. Runs know
nothing of each other. Each can be started again at any time: what is done is left as it is. Lines
that differ in their grid alone share one training: those that train come first, the others score
the model that is there.

Examples:
  desam sweep plan --table 1 --table 3 --cache cache --out plan
  desam sweep run plan --all                       one after the other
  desam sweep run plan --index 4                   one of them
  sbatch --array=0-17%6 deploy/slurm/sweep.sbatch plan
  desam sweep status plan
  desam sweep collect plan";

/// Make the paper's tables: plan their runs, do them on one machine or many, collect
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
    /// Whether the step trains and scores.
    pub(crate) fn computes(&self) -> bool {
        matches!(self.step, Step::Run(_))
    }

    /// The step's.
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
