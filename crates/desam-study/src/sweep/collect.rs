//! The paper's tables of what a plan's runs came to.

use super::folder::Plan;
use super::paper::{PaperRow, PaperTable};
use super::plan::Domain;
use super::plan::{Cell, PlanLine};
use super::sites::{Letter, PaperSites};
use super::status::{LineState, of_line};
use crate::Result;
use crate::evaluate::{Evaluation, Protocol};
use serde::Serialize;
use std::collections::BTreeMap;

/// What "A to Rest" is the mean of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MeanOver {
    /// All cases of the other sites, as the official program reports it.
    #[default]
    Cases,
    /// The other sites' means.
    Sites,
}

impl MeanOver {
    fn of(self, scores: &Evaluation) -> Option<f64> {
        match self {
            Self::Cases => scores.overall_cases_dice,
            Self::Sites => scores.overall_dice,
        }
    }
}

impl std::fmt::Display for MeanOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cases => "cases",
            Self::Sites => "sites",
        })
    }
}

impl std::str::FromStr for MeanOver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cases" => Ok(Self::Cases),
            "sites" => Ok(Self::Sites),
            other => Err(format!("mean over {other:?}: expected cases or sites")),
        }
    }
}

/// Dice in per cent, over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Mean over the seeds.
    pub mean: f64,
    /// Standard deviation over the seeds (of a sample, by n - 1); `None` of one.
    pub spread: Option<f64>,
    /// How many seeds.
    pub seeds: usize,
}

impl Score {
    fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        let spread = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Some(Self { mean, spread, seeds: n })
    }
}

/// A cell of ours.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct OurCell {
    /// Seeds that the plan has of it; none where it has no such cell.
    pub planned: usize,
    /// The score of the seeds that are done.
    pub score: Option<Score>,
}

impl OurCell {
    /// Whether it is planned and not all done.
    pub fn is_missing(&self) -> bool {
        self.score.map_or(0, |s| s.seeds) < self.planned
    }
}

/// A column: a site that is trained on while the others are scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// The site; `None` for one of the paper's that the plan does not have.
    pub site: Option<String>,
    /// Which of the paper's sites it is, where the user said so.
    pub paper_site: Option<Letter>,
}

impl Column {
    /// The columns of a plan's tables. Where some of its sites are the paper's, all of the paper's
    /// come first, in its order; else the sites as the plan has them.
    fn all(sites: &[Domain]) -> Vec<Self> {
        let column = |d: &Domain| Self { site: Some(d.site.clone()), paper_site: d.letter };
        if sites.iter().all(|d| d.letter.is_none()) {
            return sites.iter().map(column).collect();
        }
        let of_letter = |letter: Letter| {
            let own = sites.iter().find(|d| d.letter == Some(letter));
            own.map_or(Self { site: None, paper_site: Some(letter) }, column)
        };
        let others = sites.iter().filter(|d| d.letter.is_none()).map(column);
        Letter::ALL.into_iter().map(of_letter).chain(others).collect()
    }

    /// The paper's letter, or else the site's name.
    pub fn name(&self) -> String {
        match (self.paper_site, &self.site) {
            (Some(letter), _) => letter.to_string(),
            (None, site) => site.clone().unwrap_or_default(),
        }
    }
}

/// Our figures of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OurRow {
    /// From the site of each column to the others.
    pub cells: Vec<OurCell>,
    /// Mean of the columns; `None` unless all are whole, since a mean of fewer is another thing.
    pub overall: Option<Score>,
}

/// The paper's figures of a row, Dice in per cent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaperFigures {
    /// From the site of each column to the others; `None` for a site that is none of the paper's.
    pub cells: Vec<Option<f64>>,
    /// Mean over the paper's six sites.
    pub overall: f64,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectedRow {
    /// As the paper names it.
    pub method: &'static str,
    /// The paper's figures. `None` where no site is said to be the paper's, and under another protocol
    /// than the paper's: protocols are never mixed in one table.
    pub paper: Option<PaperFigures>,
    /// Ours; `None` where this program has no such method or none of it was planned.
    pub ours: Option<OurRow>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectedTable {
    /// Which.
    pub table: PaperTable,
    /// Its caption, in short.
    pub title: &'static str,
    /// Its rows, in the paper's order.
    pub rows: Vec<CollectedRow>,
}

/// A line of the plan whose scores are not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Missing {
    /// Which line.
    pub index: usize,
    /// Its name.
    pub id: String,
    /// The site that it trains on, which is the column it would fill.
    pub source: String,
    /// The rows it would fill.
    pub cells: Vec<Cell>,
    /// How far it is.
    #[serde(flatten)]
    pub state: LineState,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |c: &Cell| format!("Table {}, {}", c.table, c.row);
        let cells = self.cells.iter().map(name).collect::<Vec<_>>().join("; ");
        write!(f, "missing: {} to Rest of {cells}: line {} ", self.source, self.index)?;
        let verb = match &self.state {
            LineState::Waiting | LineState::Running { .. } => "is ",
            LineState::Interrupted { .. } => "was ",
            LineState::Failed { .. } => "",
            // Scores without a target case.
            LineState::Done { .. } => "has nothing to score and is ",
        };
        write!(f, "({}) {verb}{}", self.id, self.state.name())?;
        let detail = self.state.detail();
        if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
    }
}

/// Everything that a plan came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Collection {
    /// Which voxels were compared.
    pub protocol: Protocol,
    /// What a cell is the mean of.
    pub mean_over: MeanOver,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The columns of every table.
    pub columns: Vec<Column>,
    /// The tables.
    pub tables: Vec<CollectedTable>,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// Cases that could not be scored, and are in no mean: `SITE/CASE: reason`, each once.
    pub unscored: Vec<String>,
}

/// Dice by seed.
type Seeds = BTreeMap<u64, Option<f64>>;

/// What of a plan is collected, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CollectConfig {
    /// What a cell is the mean of.
    pub mean_over: MeanOver,
    /// Which sites are the paper's, in place of what the plan says; `None` leaves it at that.
    pub paper_sites: Option<PaperSites>,
}

/// The sites of a plan, all that a line trains on or scores, in the order in which they come first.
fn domains(plan: &Plan, paper: Option<&PaperSites>) -> Result<Vec<Domain>> {
    let mut sites: Vec<&str> = Vec::new();
    for line in plan.lines() {
        for site in line.sites.iter().chain([&line.train.source]) {
            if !sites.contains(&site.as_str()) {
                sites.push(site);
            }
        }
    }
    let mut domains = Domain::all(&sites, paper.unwrap_or(&PaperSites::None))?;
    if paper.is_none() {
        for domain in &mut domains {
            let mut letters = plan.lines().iter().map(|line| line.paper_sites.get(&domain.site));
            domain.letter = letters.find_map(|letter| letter.copied());
        }
    }
    Ok(domains)
}

/// Gathers the scores of a plan's lines into the paper's rows, a column a site that is trained on, as
/// seen from `host`.
///
/// # Errors
/// When a file of the plan cannot be read, or a site cannot be the paper's that it is said to be. What
/// is missing or failed is in the collection.
pub fn collect(plan: &Plan, config: &CollectConfig, host: &str) -> Result<Collection> {
    let columns = Column::all(&domains(plan, config.paper_sites.as_ref())?);
    let mean_over = config.mean_over;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let (mut seeds, mut unscored) = (Vec::new(), Vec::new());
    for line in plan.lines() {
        seeds.push(line.train.seed);
        let scores = plan.scores(line).ok().flatten();
        let dice = scores.as_ref().and_then(|s| mean_over.of(s)).map(|d| 100.0 * d);
        if dice.is_none() {
            missing.push(Missing {
                index: line.index,
                id: line.id.clone(),
                source: line.train.source.clone(),
                cells: line.cells.clone(),
                state: of_line(plan, line, host)?,
            });
        }
        let lost = scores.iter().flat_map(|s| &s.unscored);
        unscored.extend(lost.map(|c| format!("{}/{}: {}", c.site, c.case, c.reason)));
        found.push((line, dice));
    }
    unscored.sort();
    unscored.dedup();
    seeds.sort_unstable();
    seeds.dedup();
    let protocol = plan.line(0)?.protocol;
    let asked = |t: &PaperTable| found.iter().any(|(l, _)| l.cells.iter().any(|c| c.table == *t));
    let tables = PaperTable::ALL.into_iter().filter(asked).map(|table| {
        let rows = table.rows().iter();
        let rows = rows.map(|row| collected((table, row), &columns, (protocol, &found)));
        CollectedTable { table, title: table.title(), rows: rows.collect() }
    });
    let tables = tables.collect();
    Ok(Collection { protocol, mean_over, seeds, columns, tables, missing, unscored })
}

fn collected(
    (table, row): (PaperTable, &PaperRow),
    columns: &[Column],
    (protocol, found): (Protocol, &[(&PlanLine, Option<f64>)]),
) -> CollectedRow {
    let of_row = |line: &PlanLine| line.cells.iter().any(|c| c.table == table && c.row == row.name);
    let mut cells: Vec<Seeds> = vec![Seeds::new(); columns.len()];
    for (line, dice) in found.iter().filter(|(line, _)| of_row(line)) {
        let own = |column: &Column| column.site.as_ref() == Some(&line.train.source);
        if let Some(cell) = columns.iter().position(own).and_then(|n| cells.get_mut(n)) {
            cell.insert(line.train.seed, *dice);
        }
    }
    let ours = cells.iter().any(|c| !c.is_empty()).then(|| OurRow {
        overall: overall(&cells),
        cells: cells
            .iter()
            .map(|seeds| {
                let done: Vec<f64> = seeds.values().copied().flatten().collect();
                OurCell { planned: seeds.len(), score: Score::of(&done) }
            })
            .collect(),
    });
    let known = columns.iter().any(|c| c.paper_site.is_some());
    let figure = |column: &Column| row.figures.get(column.paper_site?.column()).copied();
    let paper = (protocol == Protocol::Paper && known).then(|| PaperFigures {
        cells: columns.iter().map(figure).collect(),
        overall: row.overall,
    });
    CollectedRow { method: row.name, paper, ours }
}

/// For each seed the mean of its cells, then over seeds; nothing while a cell is not whole.
fn overall(cells: &[Seeds]) -> Option<Score> {
    let mut means = Vec::new();
    for seed in cells.first()?.keys() {
        let mut sum = 0.0;
        for cell in cells {
            sum += cell.get(seed).copied().flatten()?;
        }
        means.push(sum / cells.len() as f64);
    }
    let whole = cells.iter().all(|c| c.len() == means.len());
    if whole { Score::of(&means) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_of_a_sample() {
        // By hand: mean 3, squares 1 + 0 + 1, over 2.
        let score = Score::of(&[2.0, 3.0, 4.0]).unwrap();
        assert_eq!((score.mean, score.spread, score.seeds), (3.0, Some(1.0), 3));
        assert_eq!(Score::of(&[5.0]).unwrap().spread, None);
        assert_eq!(Score::of(&[]), None);
    }

    #[test]
    fn overall_needs_all_cells_of_every_seed() {
        let cell = |a: Option<f64>, b: Option<f64>| Seeds::from([(0, a), (1, b)]);
        let mut cells: [Seeds; 6] =
            std::array::from_fn(|n| cell(Some(n as f64), Some(n as f64 + 1.0)));
        // By hand: 0 to 5 have the mean 2.5, 1 to 6 have 3.5; together 3, spread sqrt(0.5).
        let score = overall(&cells).unwrap();
        assert_eq!((score.mean, score.seeds), (3.0, 2));
        assert!((score.spread.unwrap() - 0.5f64.sqrt()).abs() < 1e-12);
        cells[3] = cell(Some(1.0), None);
        assert_eq!(overall(&cells), None);
        cells[3] = Seeds::new();
        assert_eq!(overall(&cells), None);
    }
}
