//! One module per command: its arguments, the call into the library, and its output.

pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod embed;
pub(crate) mod evaluate;
mod flags;
pub(crate) mod info;
mod output_files;
pub(crate) mod parity;
pub(crate) mod phantom;
pub(crate) mod predict;
pub(crate) mod report;
pub(crate) mod sweep;
pub(crate) mod train;
mod values;
pub(crate) mod verify;

use crate::cli::{Cli, Command, GlobalOptions};
use crate::environment;
use crate::output::Output;
use crate::terminal::{Terminal, Verbosity};
use desam::candle::Device;
use desam::types::text::path_text;
use desam::{DeviceChoice, Progress};
use std::path::Path;

/// Inputs of a command in addition to its arguments.
#[derive(Debug)]
pub(crate) struct Session {
    /// Progress, notes and warnings.
    pub(crate) terminal: Terminal,
    /// The opened device; the CPU for commands that do not run a model.
    pub(crate) device: Device,
    /// The device as given by `--device` or `DESAM_DEVICE`.
    pub(crate) choice: DeviceChoice,
}

impl Session {
    /// Prints a message with `-v` only.
    fn detail(&self, message: &str) {
        self.terminal.detail(message);
    }
}

/// Runs the command, and adds the warnings to its output.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<Output> {
    let session = session(cli)?;
    let mut output = dispatch(cli, &session)?;
    output.warnings = session.terminal.take_warnings();
    Ok(output)
}

fn dispatch(cli: &Cli, session: &Session) -> anyhow::Result<Output> {
    match &cli.command {
        Command::Demo(a) => demo::run(a, session),
        Command::Phantom(a) => phantom::run(a, session),
        Command::Embed(a) => embed::run(a, session),
        Command::Train(a) => train::run(a, session),
        Command::Evaluate(a) => evaluate::run(a, session),
        Command::Compare(a) => compare::run(a, session),
        Command::Report(a) => report::run(a, session),
        Command::Predict(a) => predict::run(a, session),
        Command::Convert(a) => convert::run(a, session),
        Command::Info(a) => info::run(a, session),
        Command::Parity(a) => parity::run(a, session),
        Command::Verify(a) => verify::run(a, session),
        Command::Sweep(a) => sweep::run(a, session),
    }
}

fn session(cli: &Cli) -> anyhow::Result<Session> {
    let GlobalOptions { quiet, verbose, device, .. } = cli.global;
    let verbosity = if quiet {
        Verbosity::Quiet
    } else if verbose {
        Verbosity::Verbose
    } else {
        Verbosity::Normal
    };
    let terminal = Terminal::new(verbosity);
    let choice = match device {
        Some(choice) => choice,
        None => environment::device()?.unwrap_or_default(),
    };
    let (version, threads) = (env!("CARGO_PKG_VERSION"), rayon::current_num_threads());
    terminal.detail(&format!("desam {version}, {threads} threads, device {choice}"));
    let device = if cli.command.computes() { choice.open()? } else { Device::Cpu };
    Ok(Session { terminal, device, choice })
}

/// A path as a JSON string. The bytes of a name that is not UTF-8 are escaped, so the path can be
/// recovered exactly.
fn json_path(path: &Path) -> serde_json::Value {
    path_text(path).into()
}

/// Formats rows as lines of `name  value`, with the values in one column.
fn aligned(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|(name, value)| format!("{name:<width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_in_one_column() {
        assert_eq!(aligned(&[("a", "1".into()), ("bcd", "2".into())]), "a    1\nbcd  2");
    }
}
