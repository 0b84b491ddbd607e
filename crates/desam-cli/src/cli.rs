//! The command line: global options, and the list of commands.

use crate::commands::{
    compare, convert, demo, embed, evaluate, info, parity, phantom, predict, report, sweep, train,
    verify,
};
use clap::{Args, Parser, Subcommand};
use desam::DeviceChoice;

const ABOUT: &str = "Segment medical volumes with DeSAM: train on one site, evaluate on the others";

const LONG_ABOUT: &str = "\
Segment medical volumes with DeSAM (\"Decoupling Segment Anything Model for Generalizable Medical \
Image Segmentation\"): a frozen SAM image encoder and a small trained decoder. Prompts are generated \
automatically.

The workflow has four steps:

  1. embed      run the frozen image encoder on every slice once and store the features
  2. train      train the decoder on the features of one site
  3. evaluate   score the model on every other site
  4. predict    segment new volumes; each mask has the grid of its volume

`desam demo` runs all four on synthetic volumes and needs no download.";

const AFTER_HELP: &str = "\
Examples:
  desam demo --out demo                all four steps on phantoms, and an HTML page
  desam verify --data DATA             check a data set before training on it
  desam embed --data DATA --out cache --encoder vit-b
  desam train --cache cache --source RUNMC --mode points --out run
  desam evaluate --cache cache --run run
  desam report run --out run.html      scores, learning curves and cases on an HTML page
  desam predict --model run --input t2.nii.gz --output mask.nii.gz

Exit codes:
  0    success
  1    an error, also if only some of several files failed
  2    usage error: wrong arguments or environment variables, found before any file is read
  130  interrupted by Ctrl-C

Environment variables:
  DESAM_DEVICE            device to compute on if --device is not given
  HF_HUB_CACHE, HF_HOME   folder for downloaded weights: HF_HUB_CACHE, else HF_HOME/hub
  HF_ENDPOINT, HF_TOKEN   mirror to download from; access token
  HF_HUB_OFFLINE          1: use downloaded weights only, without network access
  SLURM_ARRAY_TASK_ID     default of --part-id and --index in a Slurm array job
  JOB_COMPLETION_INDEX    the same in a Kubernetes indexed job
  NO_COLOR                1: no colours";

/// The parsed command line.
#[derive(Debug, Parser)]
#[command(
    name = "desam",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = AFTER_HELP,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    /// Print more on stderr: the settings in use and the duration of each step
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,

    /// Print only results, warnings and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Number of threads, 1 to 1024; does not change the results [default: one per core]
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true,
        value_parser = thread_count)]
    pub(crate) threads: Option<u16>,

    /// Device to compute on: cpu, or cuda:N for GPU number N; cuda means cuda:0. `desam info` lists
    /// the GPUs [default: DESAM_DEVICE, else cpu]
    #[arg(long, global = true, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceChoice>,
}

/// Parser of `--threads`.
fn thread_count(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|n| (1..=1024).contains(n));
    number.ok_or_else(|| "expected a whole number from 1 to 1024".to_owned())
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
    /// Whether the result is printed as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Demo(a) => a.json,
            Self::Phantom(a) => a.json,
            Self::Verify(a) => a.json,
            Self::Embed(a) => a.json,
            Self::Train(a) => a.json,
            Self::Evaluate(a) => a.json.on_stdout(),
            Self::Compare(a) => a.json,
            Self::Report(a) => a.json,
            Self::Predict(a) => a.json,
            Self::Convert(a) => a.json,
            Self::Info(a) => a.json,
            Self::Parity(a) => a.json.on_stdout(),
            Self::Sweep(a) => a.json_flag(),
        }
        .json
    }

    /// Whether the command runs a model. If not, the device is not opened.
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

    /// Help is wrapped at 100 columns: a longer line of a table or an example would be broken.
    #[test]
    fn tables_and_examples_in_the_help_fit_the_terminal() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            let texts = [command.get_after_help(), command.get_after_long_help()];
            for text in texts.into_iter().flatten().map(ToString::to_string) {
                for line in text.lines().filter(|line| line.starts_with("  ")) {
                    assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
                }
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
