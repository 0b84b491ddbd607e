//! One file a command: its arguments, the call into the library, what it prints.

pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod demo;
mod draws;
pub(crate) mod embed;
pub(crate) mod evaluate;
pub(crate) mod info;
mod overwrite;
pub(crate) mod parity;
pub(crate) mod phantom;
mod precision;
pub(crate) mod predict;
mod preprocess;
mod read_flags;
pub(crate) mod report;
pub(crate) mod sweep;
pub(crate) mod train;
pub(crate) mod verify;

use crate::cli::{Cli, Command, Shared};
use crate::environment;
use crate::progress::{Loudness, Screen};
use crate::reply::Reply;
use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use desam::candle::Device;
use desam::types::text::{path_for_people, path_text};
use desam::{Compute, DeviceChoice, Precision, Progress};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

/// What a command gets beside its own arguments.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where it tells how far it is.
    pub(crate) screen: Screen,
    /// What it computes on; the processor for commands that do not compute.
    pub(crate) device: Device,
    /// What was asked for, by the flag or the environment.
    pub(crate) choice: DeviceChoice,
}

impl Session {
    /// The session's device with a precision.
    fn compute(&self, precision: Precision) -> desam::Result<Compute> {
        Compute::new(self.device.clone()).with_precision(precision)
    }

    /// Something that only `-v` shows.
    fn detail(&self, message: &str) {
        self.screen.detail(message);
    }
}

/// Runs the command.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<Reply> {
    let session = session(cli)?;
    let mut reply = dispatch(cli, &session)?;
    reply.warnings = session.screen.take_warnings();
    Ok(reply)
}

fn dispatch(cli: &Cli, session: &Session) -> anyhow::Result<Reply> {
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
    let Shared { quiet, verbose, device, .. } = cli.shared;
    let loudness = match (quiet, verbose) {
        (true, _) => Loudness::Quiet,
        (_, true) => Loudness::Verbose,
        _ => Loudness::Normal,
    };
    let screen = Screen::new(loudness);
    let choice = match device {
        Some(choice) => choice,
        None => environment::device()?.unwrap_or_default(),
    };
    let (version, threads) = (env!("CARGO_PKG_VERSION"), rayon::current_num_threads());
    screen.detail(&format!("desam {version}, {threads} threads, device {choice}"));
    let device = if cli.command.computes() { choice.open()? } else { Device::Cpu };
    Ok(Session { screen, device, choice })
}

/// A parser for a type that reads itself, whose help lists the choices.
fn one_of<T>(choices: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
    T::Err: std::fmt::Display,
{
    PossibleValuesParser::new(choices).try_map(|text| text.parse::<T>().map_err(|e| e.to_string()))
}

/// A share, above 0 and below 1.
fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("expected a number above 0 and below 1".into()),
    }
}

/// A parser of numbers above 0, up to `most`.
fn positive(most: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= most => Ok(value),
        _ => Err(format!("expected a number above 0, at most {most}")),
    }
}

/// A parser of numbers from 0 to `most`.
fn not_negative(most: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<f64>() {
        Ok(value) if (0.0..=most).contains(&value) => Ok(value),
        _ => Err(format!("expected a number from 0 to {most}")),
    }
}

/// A parser of whole numbers in a range.
fn whole(
    range: RangeInclusive<usize>,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<usize>() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(format!("expected a whole number from {} to {}", range.start(), range.end())),
    }
}

/// Passes over the training slices: more than any training needs.
const EPOCHS: RangeInclusive<usize> = 1..=1_000_000;
/// Slices a training step: more than any device holds.
const BATCH: RangeInclusive<usize> = 1..=65_536;
/// Above this nothing learns.
const MOST_LEARNING_RATE: f64 = 1000.0;
/// Above this a term of the loss leaves the range of its type.
const MOST_WEIGHT: f64 = 1e6;

/// A path as JSON has it: byte for byte recoverable, whatever its encoding.
fn json_path(path: &Path) -> serde_json::Value {
    path_text(path).into()
}

/// A seed of random numbers.
fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a whole number from 0 to {}", u64::MAX))
}

/// Points along a side of the grid: its square is decoded on every slice.
fn grid_side(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(value) if (1..=64).contains(&value) => Ok(value),
        _ => Err("expected a whole number from 1 to 64".into()),
    }
}

/// Makes the folder of a file that a command will write, and refuses what cannot be one: before the
/// work, not after it. A device, a FIFO or a link that leads to a folder that is there needs none.
fn room_for(file: &Path) -> anyhow::Result<()> {
    if file.is_dir() {
        bail!("{} is a folder, not a file to write", path_for_people(file));
    }
    if file.exists() {
        return Ok(());
    }
    let folder = file.parent().filter(|f| !f.as_os_str().is_empty());
    folder.map_or(Ok(()), |folder| {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", path_for_people(folder)))
    })
}

/// Lines of `name: value`, the values below each other.
fn aligned(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|(name, value)| format!("{name:<width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert!(["0", "1", "-1", "nan", "x"].iter().all(|t| fraction(t).is_err()));
        let rate = positive(1000.0);
        for text in ["0", "-1", "inf", "nan", "", "1e300", "1000.1"] {
            assert!(rate(text).is_err_and(|e| e.contains("at most 1000")), "{text}");
        }
        let weight = not_negative(1e6);
        for text in ["-1", "inf", "nan", "", "1e300"] {
            assert!(weight(text).is_err_and(|e| e.contains("0 to 1000000")), "{text}");
        }
        assert_eq!((weight("0"), weight("1e6")), (Ok(0.0), Ok(1e6)));
        let epochs = whole(EPOCHS);
        for text in ["0", "-1", "1.5", "1e300", "nan", "1000001", "18446744073709551615"] {
            assert!(epochs(text).is_err_and(|e| e.contains("1 to 1000000")), "{text}");
        }
        assert!(["0", "65"].iter().all(|t| grid_side(t).is_err()));
        assert_eq!((fraction("0.1"), rate("1e-4"), epochs("3")), (Ok(0.1), Ok(1e-4), Ok(3)));
    }

    #[test]
    fn values_stand_below_each_other() {
        assert_eq!(aligned(&[("a", "1".into()), ("bcd", "2".into())]), "a    1\nbcd  2");
    }
}
