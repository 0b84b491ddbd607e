//! Performance goals.

use super::Timed;
use serde::Serialize;

/// What a subject is to reach.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// At least so many items a second.
    Rate(f64),
    /// At most so many milliseconds.
    Milliseconds(f64),
    /// At least so many times faster than PyTorch's eager modules.
    Eager(f64),
    /// At most so many bytes at once.
    Peak(u64),
}

impl Goal {
    /// Whether it is reached, where that was measured.
    fn met(&self, timed: &Timed) -> Option<bool> {
        Some(match *self {
            Self::Rate(least) => timed.rate(timed.ours())? >= least,
            Self::Milliseconds(most) => timed.ours().median()? <= most,
            Self::Eager(least) => timed.ratio("eager")? >= least,
            Self::Peak(most) => timed.ours().peak()? <= most,
        })
    }

    pub(super) fn text(&self, timed: &Timed) -> String {
        let verdict = match self.met(timed) {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        match self {
            Self::Rate(least) => format!("{least}/s: {verdict}"),
            Self::Milliseconds(most) => format!("{most} ms: {verdict}"),
            Self::Eager(least) => format!("{least} × eager: {verdict}"),
            Self::Peak(most) => format!("{} MB: {verdict}", most / 1_000_000),
        }
    }
}
