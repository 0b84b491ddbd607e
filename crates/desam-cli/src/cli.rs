//! The arguments shared by all commands, and the list of commands.

use crate::commands::{
    compare, convert, demo, embed, evaluate, info, parity, phantom, predict, report, sweep, train,
    verify,
};
use clap::{ArgAction, Args, Parser, Subcommand};
use desam::DeviceChoice;

const ABOUT: &str = "Segment medical volumes with DeSAM: train on one site, score on the others";

const LONG_ABOUT: &str = "\
Segment medical volumes with DeSAM (\"Decoupling Segment Anything Model for Generalizable Medical
Image Segmentation\"): a frozen SAM image encoder, a small trained decoder, no prompt needed.

The work has four steps:

  1. embed      run the frozen image encoder over every slice once, and keep the features
  2. train      train the decoder on the features of one site
  3. evaluate   score the model on every other site: one row, source to target
  4. predict    segment new volumes; masks come out on the grid of their input

`desam demo` does all four on made-up volumes and needs no download.";

const EXAMPLES: &str = "\
Examples:
  desam demo --out demo                    all four steps on phantoms, and a page to look at
  desam verify --data DATA                 is this data set fit to be trained on?
  desam embed --data DATA --out cache --encoder vit-b
  desam train --cache cache --source RUNMC --mode points --out run
  desam evaluate --cache cache --run run
  desam report run --out run.html          scores, curves and cases, in a page to look at
  desam predict --model run --input t2.nii.gz --output mask.nii.gz

Exit codes: 0 done; 1 an error, or some of several files failed; 2 wrong usage; 130 Ctrl-C.
Environment: HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE direct downloads by name;
SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX number a scheduler's task; DESAM_DEVICE is what to
compute on where --device is not given; NO_COLOR.";

/// What the program was asked to do.
#[derive(Debug, Parser)]
#[command(
    name = "desam",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Arguments of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Shared {
    /// Say more on stderr: the settings in use, how long each part took
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,

    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Threads to compute with [default: one for each core]; the results are the same for any number
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true,
        value_parser = threads)]
    pub(crate) threads: Option<u16>,

    /// What to compute on: cpu, or cuda:N, the GPU of that number (cuda is cuda:0); `desam info` lists
    /// them [default: DESAM_DEVICE, else cpu]
    #[arg(long, global = true, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceChoice>,
}

/// A number of threads.
fn threads(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|n| (1..=1024).contains(n));
    number.ok_or_else(|| "expected a whole number from 1 to 1024".to_owned())
}

/// The flag of commands whose result a program might read.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct JsonFlag {
    /// Print the result on stdout as JSON; progress stays on stderr
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Arguments),
    Phantom(phantom::Arguments),
    Verify(verify::Arguments),
    Embed(embed::Arguments),
    Train(train::Arguments),
    Evaluate(evaluate::Arguments),
    Compare(compare::Arguments),
    Report(report::Arguments),
    Predict(predict::Arguments),
    Convert(convert::Arguments),
    Info(info::Arguments),
    Parity(parity::Arguments),
    Sweep(sweep::Arguments),
}

impl Command {
    /// Whether the result goes to stdout as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Demo(a) => a.json,
            Self::Phantom(a) => a.json,
            Self::Verify(a) => a.json,
            Self::Embed(a) => a.json,
            Self::Train(a) => a.json,
            Self::Evaluate(a) => a.json_flag(),
            Self::Compare(a) => a.json,
            Self::Report(a) => a.json,
            Self::Predict(a) => a.json,
            Self::Convert(a) => a.json,
            Self::Info(a) => a.json,
            Self::Parity(a) => a.json_flag(),
            Self::Sweep(a) => a.json_flag(),
        }
        .json
    }
}

impl Command {
    /// Whether it computes with a model. Where it does not, the device is not even opened.
    pub(crate) fn computes(&self) -> bool {
        match self {
            Self::Demo(_) | Self::Embed(_) | Self::Train(_) | Self::Evaluate(_) => true,
            Self::Report(_) | Self::Predict(_) | Self::Parity(_) => true,
            Self::Sweep(a) => a.computes(),
            Self::Phantom(_) | Self::Verify(_) | Self::Compare(_) => false,
            Self::Convert(_) | Self::Info(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
