//! How long things take here and in PyTorch, one after the other on the same card.

mod goal;
mod models;
mod ops;
mod random;
mod torch;

pub(crate) use goal::Goal;

use crate::Result;
use crate::arguments::Arguments;
use crate::gauge::{Repetitions, Samples, measure};
use crate::report::Report;
use desam::candle::{DType, Device};
use serde::Serialize;
use std::time::Instant;
use torch::Torch;

/// One repetition of a benchmark.
type Work = Box<dyn FnMut() -> Result<()>>;

/// A benchmark.
pub(crate) struct Subject<'a> {
    name: String,
    /// Number and unit of the items per repetition, for a rate.
    items: Option<(f64, &'static str)>,
    make: Box<dyn FnOnce() -> Result<Work> + 'a>,
    /// The same subject for PyTorch, and the PyTorch configurations to time.
    request: serde_json::Value,
    parties: &'static [&'static str],
    repetitions: Repetitions,
    goals: Vec<Goal>,
}

/// PyTorch as its modules are written; with its fused attention; and that compiled.
const ALL: &[&str] = &["eager", "sdpa", "compiled"];
/// Where there is no attention to fuse.
const PLAIN: &[&str] = &["eager", "compiled"];
/// What a compiler takes a minute for and cannot better.
const FUSED: &[&str] = &["eager", "sdpa"];
const EAGER: &[&str] = &["eager"];

/// What a subject took.
#[derive(Debug, Serialize)]
pub(crate) struct Timed {
    name: String,
    items: Option<(f64, &'static str)>,
    ours: Outcome,
    torch: Vec<(&'static str, Outcome)>,
    goals: Vec<Goal>,
}

/// Repetitions, or why there are none.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Took(Samples),
    Failed(String),
}

impl Outcome {
    fn of<E: std::fmt::Display>(found: std::result::Result<Samples, E>) -> Self {
        match found {
            Ok(samples) => Self::Took(samples),
            Err(why) => Self::Failed(why.to_string().lines().next().unwrap_or_default().to_owned()),
        }
    }

    pub(crate) fn median(&self) -> Option<f64> {
        match self {
            Self::Took(samples) => Some(samples.median()),
            Self::Failed(_) => None,
        }
    }

    pub(crate) fn peak(&self) -> Option<u64> {
        match self {
            Self::Took(samples) => samples.peak,
            Self::Failed(_) => None,
        }
    }
}

impl Timed {
    /// Speed-up over this PyTorch configuration.
    pub(crate) fn ratio(&self, party: &str) -> Option<f64> {
        let (_, outcome) = self.torch.iter().find(|(name, _)| *name == party)?;
        Some(outcome.median()? / self.ours.median()?)
    }

    /// Items a second.
    pub(crate) fn rate(&self, outcome: &Outcome) -> Option<f64> {
        Some(self.items?.0 * 1e3 / outcome.median()?)
    }

    pub(crate) fn ours(&self) -> &Outcome {
        &self.ours
    }

    /// What is said of it as soon as it is known.
    fn line(&self) -> String {
        let all =
            std::iter::once(("ours", &self.ours)).chain(self.torch.iter().map(|(p, o)| (*p, o)));
        let text = |(party, outcome): (&str, &Outcome)| match outcome {
            Outcome::Took(samples) => format!("{party} {:.3} ms", samples.median()),
            Outcome::Failed(why) => format!("{party}: {why}"),
        };
        format!("{}: {}", self.name, all.map(text).collect::<Vec<_>>().join(", "))
    }

    /// A line for each party.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let row = |name: &str, party: &str, outcome: &Outcome, last: String| {
            let number = |n: Option<f64>| n.map_or(String::new(), |n| format!("{n:.3}"));
            let rate = match (self.rate(outcome), self.items) {
                (Some(rate), Some((_, unit))) => format!("{rate:.1} {unit}/s"),
                _ => String::new(),
            };
            let ratio = self.ratio(party).map_or(String::new(), |r| format!("{r:.2}"));
            let peak = outcome.peak().map_or(String::new(), |b| format!("{}", b / 1_000_000));
            let last = match outcome {
                Outcome::Took(_) => last,
                Outcome::Failed(why) => why.clone(),
            };
            let (name, party) = (name.to_owned(), party.to_owned());
            vec![name, party, number(outcome.median()), rate, ratio, peak, last]
        };
        let goals: Vec<_> = self.goals.iter().map(|g| g.text(self)).collect();
        let mut rows = vec![row(&self.name, "ours", &self.ours, goals.join(", "))];
        rows.extend(self.torch.iter().map(|(p, outcome)| row("", p, outcome, String::new())));
        rows
    }
}

/// What everything is timed with.
pub(crate) struct Setting<'a> {
    device: &'a Device,
    /// The narrow type on a GPU, the only one on a CPU.
    dtype: DType,
    quick: bool,
}

/// Times everything.
pub(crate) fn all(
    arguments: &Arguments,
    device: &Device,
    report: &mut Report,
    begin: Instant,
) -> Result<()> {
    let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
    let setting = Setting { device, dtype, quick: arguments.quick };
    let mut torch = Torch::start(arguments, device);
    report.torch = match &torch {
        Ok(torch) => torch.about.clone(),
        Err(why) => format!("takes no part: {why}"),
    };
    let mut subjects = models::subjects(&setting);
    subjects.extend(ops::subjects(&setting));
    for subject in subjects.into_iter().filter(|s| arguments.wants(&s.name)) {
        let late = begin.elapsed().as_secs_f64() > arguments.budget;
        let with = torch.as_mut().ok().filter(|_| !late);
        let timed = timed(subject, device, with);
        eprintln!("{}", timed.line());
        report.times.push(timed);
    }
    Ok(())
}

/// Times ours first, then each PyTorch configuration; each frees its memory before the next.
fn timed(subject: Subject<'_>, device: &Device, torch: Option<&mut Torch>) -> Timed {
    let Subject { name, items, make, request, parties, repetitions, goals } = subject;
    let ours = make().and_then(|mut work| measure(device, repetitions, &mut *work));
    let ours = Outcome::of(ours);
    let mut others = vec![];
    if let Some(torch) = torch {
        for &party in parties {
            let found = torch.time(&request, party, repetitions);
            others.push((party, Outcome::of(found)));
        }
    }
    Timed { name, items, ours, torch: others, goals }
}
