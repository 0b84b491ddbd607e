//! From the parsed command line to the command's function.

use crate::cli::{Cli, Command, GlobalOptions};
use crate::commands::{
    Session, compare, convert, demo, embed, evaluate, info, parity, phantom, predict, report,
    sweep, train, verify,
};
use crate::environment;
use crate::output::Output;
use crate::terminal::{Terminal, Verbosity};
use desam::Progress;
use desam::candle::Device;

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
