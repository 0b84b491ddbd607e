//! Scores as text for a terminal. Dice is in per cent, as the paper's tables have it.

use super::{Evaluation, SiteScore};

/// A fraction in per cent, two decimals; a dash for nothing or for what is no number.
pub(crate) fn percent(fraction: Option<f64>) -> String {
    match fraction {
        Some(value) if value.is_finite() => format!("{:.2}", 100.0 * value),
        _ => "–".to_owned(),
    }
}

/// `1 case`, `2 cases`.
pub(crate) fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

const COLUMNS: usize = 7;

fn site_row(score: &SiteScore) -> [String; COLUMNS] {
    [
        score.site.clone(),
        score.role.name().to_owned(),
        score.cases.to_string(),
        percent(Some(score.mean_dice)),
        percent(Some(score.median_dice)),
        percent(Some(score.min_dice)),
        score.empty_predictions.to_string(),
    ]
}

impl Evaluation {
    /// `A to Rest`, as the paper names it.
    pub(crate) fn rest(&self) -> String {
        format!("{} to Rest", self.source)
    }

    /// The overall result in one line.
    pub fn headline(&self) -> String {
        let sites = self.targets().count();
        let cases: usize = self.targets().map(|s| s.cases).sum();
        if sites == 0 {
            let own = self.source_site().map(|s| s.mean_dice);
            return format!("{}: Dice {} % in its validation cases", self.source, percent(own));
        }
        format!(
            "{}: Dice {} % (mean of {}), {} % (mean of {})",
            self.rest(),
            percent(self.overall_dice),
            counted(sites, "site"),
            percent(self.overall_cases_dice),
            counted(cases, "case"),
        )
    }

    /// A table for a terminal: a row a site, the source site's validation cases first; below, the
    /// source site to the rest, as mean of the sites and as mean of all their cases; then the
    /// cases that could not be scored. Dice in per cent. No line ends in blanks.
    pub fn table(&self) -> String {
        let head = ["site", "role", "cases", "Dice %", "median", "min", "empty"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.sites.iter().map(site_row));
        let last_site = rows.len();
        if self.targets().next().is_some() {
            rows.extend(self.overall_rows());
        }
        let mut widths = [0; COLUMNS];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * (COLUMNS - 1));
        let mut text = format!("trained on {}; {}\n", self.source, self.setting());
        for (n, row) in rows.iter().enumerate() {
            if n == 1 || n == last_site {
                text.push_str(&rule);
                text.push('\n');
            }
            let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
                // Names to the left, numbers to the right.
                if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for lost in &self.unscored {
            text.push_str(&format!("not scored: {}/{}: {}\n", lost.site, lost.case, lost.reason));
        }
        text
    }

    fn overall_rows(&self) -> [[String; COLUMNS]; 2] {
        let cases: usize = self.targets().map(|s| s.cases).sum();
        let empty: usize = self.targets().map(|s| s.empty_predictions).sum();
        let worst = self.targets().map(|s| s.min_dice).reduce(f64::min);
        let sites = self.targets().count();
        let row = |over: String, dice: Option<f64>| {
            [
                self.rest(),
                format!("mean of {over}"),
                cases.to_string(),
                percent(dice),
                String::new(),
                percent(worst),
                empty.to_string(),
            ]
        };
        [
            row(counted(sites, "site"), self.overall_dice),
            row(counted(cases, "case"), self.overall_cases_dice),
        ]
    }
}
