//! What was found, as tables and as JSON.

use crate::case::Checked;
use crate::gauge::Description;
use crate::times::Timed;
use serde::Serialize;

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    on: Description,
    parity: Vec<Checked>,
    pub(crate) times: Vec<Timed>,
    /// PyTorch's version and card, or why it takes no part.
    pub(crate) torch: String,
    pub(crate) seconds: f64,
}

impl Report {
    pub(crate) fn new(on: Description) -> Self {
        Self { on, parity: vec![], times: vec![], torch: String::new(), seconds: 0.0 }
    }

    pub(crate) fn parity(&mut self, rows: Vec<Checked>) {
        self.parity.extend(rows);
    }

    /// Whether all that was compared agrees.
    pub(crate) fn passed(&self) -> bool {
        self.parity.iter().all(Checked::passed)
    }

    pub(crate) fn device(&self) -> String {
        let Description { device, memory, version } = &self.on;
        let memory = memory.map_or(String::new(), |m| format!(", {} GB", m / 1_000_000_000));
        format!("desam {version} on {device}{memory}")
    }

    pub(crate) fn parity_table(&self) -> String {
        let rows = self.parity.iter().map(|c| {
            let verdict = if c.passed() { "ok" } else { "FAILS" };
            let why = c.failure.clone().unwrap_or_default();
            let cell = |text: &str| text.to_owned();
            vec![
                cell(&c.op),
                cell(&c.sizes),
                cell(&c.dtype),
                cell(c.what),
                format!("{:.1e}", c.error),
                format!("{:.1e}", c.limit),
                format!("{verdict} {why}"),
            ]
        });
        table(&["parity", "sizes", "type", "of", "error", "limit", ""], rows.collect())
    }

    pub(crate) fn times_table(&self) -> String {
        let rows = self.times.iter().flat_map(Timed::rows).collect();
        let heading =
            ["times", "", "ms, median", "rate", "ours is × faster", "peak MB", "asked for"];
        format!("PyTorch: {}\n\n{}", self.torch, table(&heading, rows))
    }

    pub(crate) fn summary(&self) -> String {
        let failed = self.parity.iter().filter(|c| !c.passed()).count();
        let parity = match (self.parity.len(), failed) {
            (0, _) => "parity was not checked".to_owned(),
            (all, 0) => format!("all {all} comparisons agree"),
            (all, failed) => format!("{failed} of {all} comparisons FAIL"),
        };
        format!("{parity}; {:.0} seconds", self.seconds)
    }
}

/// Columns as wide as their widest cell.
fn table(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let heading = heading.iter().map(|&h| h.to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..all[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &w)| format!("{cell:<w$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}
