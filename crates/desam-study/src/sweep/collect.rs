//! Collection of a plan's scores into the paper's tables.

use super::paper_tables::{PaperRow, SweepTable};
use super::plan::SweepSite;
use super::plan::{PlanLine, TableCell};
use super::plan_dir::Plan;
use super::sites::{PaperLetter, PaperSites};
use super::status::{LineState, of_line};
use crate::Result;
use crate::evaluate::{Evaluation, Protocol};
use desam_core::ClassTable;
use serde::Serialize;
use std::collections::BTreeMap;

desam_core::named! {
    /// Averaging of "A to Rest": over cases or over means of sites.
    #[derive(Default)]
    pub enum MeanOver: "mean over" {
        /// All cases of the other sites, as the official program reports it.
        #[default]
        Cases = "cases",
        /// The other sites' means.
        Sites = "sites",
    }
}

impl MeanOver {
    fn of(self, scores: &Evaluation) -> Option<f64> {
        match self {
            Self::Cases => scores.overall_cases_dice,
            Self::Sites => scores.overall_dice,
        }
    }
}

/// Mean Dice over seeds, in per cent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SeedScore {
    /// Mean over the seeds.
    pub mean: f64,
    /// Sample standard deviation over the seeds (divisor n - 1); `None` for one seed.
    pub spread: Option<f64>,
    /// Number of seeds.
    pub seeds: usize,
}

impl SeedScore {
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

/// Our score of a table cell.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct OurCell {
    /// Number of planned seeds; 0 where the plan has no such cell.
    pub planned: usize,
    /// Score over the finished seeds.
    pub score: Option<SeedScore>,
}

impl OurCell {
    /// Whether planned seeds are not finished.
    pub fn is_missing(&self) -> bool {
        self.score.map_or(0, |s| s.seeds) < self.planned
    }
}

/// A column: a source site, with the others as targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableColumn {
    /// The site; `None` for a site of the paper's that the plan does not have.
    pub site: Option<String>,
    /// The paper's letter, where the user said so.
    pub paper_site: Option<PaperLetter>,
}

impl TableColumn {
    /// The columns of a plan's tables. Where some of its sites are the paper's, all of the paper's come
    /// first, in its order; otherwise the sites in the plan's order.
    fn all(sites: &[SweepSite]) -> Vec<Self> {
        let column = |d: &SweepSite| Self { site: Some(d.site.clone()), paper_site: d.letter };
        if sites.iter().all(|d| d.letter.is_none()) {
            return sites.iter().map(column).collect();
        }
        let of_letter = |letter: PaperLetter| {
            let own = sites.iter().find(|d| d.letter == Some(letter));
            own.map_or(Self { site: None, paper_site: Some(letter) }, column)
        };
        let others = sites.iter().filter(|d| d.letter.is_none()).map(column);
        PaperLetter::ALL.into_iter().map(of_letter).chain(others).collect()
    }

    /// The paper's letter, or else the site's name.
    pub fn name(&self) -> String {
        match (self.paper_site, &self.site) {
            (Some(letter), _) => letter.to_string(),
            (None, site) => site.clone().unwrap_or_default(),
        }
    }
}

/// Our figures in a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OurRow {
    /// For the source site of each column.
    pub cells: Vec<OurCell>,
    /// Mean over the columns; `None` unless all are complete, since a mean over fewer is not comparable.
    pub overall: Option<SeedScore>,
}

/// The paper's figures in a row, Dice in per cent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaperFigures {
    /// For the source site of each column; `None` for a site that is not one of the paper's.
    pub cells: Vec<Option<f64>>,
    /// Mean over the paper's six sites.
    pub overall: f64,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectedRow {
    /// As the paper names it.
    pub method: &'static str,
    /// The paper's figures. `None` where no site is identified as the paper's, and under another protocol
    /// than the paper's: protocols are never mixed in one table.
    pub paper: Option<PaperFigures>,
    /// Our figures; `None` where this program has no such method or it was not planned.
    pub ours: Option<OurRow>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectedTable {
    /// The table.
    pub table: SweepTable,
    /// Its caption, in short.
    pub title: &'static str,
    /// Its rows, in the paper's order.
    pub rows: Vec<CollectedRow>,
}

/// A line of the plan without scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MissingLine {
    /// Index of the line.
    pub index: usize,
    /// Its name.
    pub id: String,
    /// The site whose column it would fill.
    #[serde(rename = "source")]
    pub column: String,
    /// The rows it would fill.
    pub cells: Vec<TableCell>,
    /// Its state.
    #[serde(flatten)]
    pub state: LineState,
}

impl std::fmt::Display for MissingLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |c: &TableCell| format!("{}, {}", c.table.label(), c.row);
        let cells = self.cells.iter().map(name).collect::<Vec<_>>().join("; ");
        let table = self.cells.first().map_or(SweepTable::Methods, |cell| cell.table);
        let column = table.column_head(&self.column);
        write!(f, "missing: {column} of {cells}: line {} ", self.index)?;
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

/// The collected tables of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Collection {
    /// The scoring protocol.
    pub protocol: Protocol,
    /// Cases or sites that a cell is the mean of.
    pub mean_over: MeanOver,
    /// The classes that the models tell apart; of several, a score is the mean of theirs.
    pub classes: ClassTable,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The columns of every table.
    pub columns: Vec<TableColumn>,
    /// The tables.
    pub tables: Vec<CollectedTable>,
    /// Lines without scores.
    pub missing: Vec<MissingLine>,
    /// Unscored cases, which are in no mean: `SITE/CASE: reason`, each once.
    pub unscored: Vec<String>,
}

/// Dice by seed.
type DiceBySeed = BTreeMap<u64, Option<f64>>;

/// Settings of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CollectConfig {
    /// Cases or sites that a cell is the mean of.
    pub mean_over: MeanOver,
    /// The sites that are the paper's, overriding the plan; `None` keeps the plan's.
    pub paper_sites: Option<PaperSites>,
}

/// The sites of a plan, source and target, in the order of their first appearance.
fn sweep_sites(plan: &Plan, paper: Option<&PaperSites>) -> Result<Vec<SweepSite>> {
    let mut sites: Vec<&str> = Vec::new();
    for line in plan.lines() {
        for site in line.sites.iter().chain(line.train.source.names()) {
            if !sites.contains(&site.as_str()) {
                sites.push(site);
            }
        }
    }
    let mut sites = SweepSite::all(&sites, paper.unwrap_or(&PaperSites::None))?;
    if paper.is_none() {
        for site in &mut sites {
            let mut letters = plan.lines().iter().map(|line| line.paper_sites.get(&site.site));
            site.letter = letters.find_map(|letter| letter.copied());
        }
    }
    Ok(sites)
}

/// Collects the scores of a plan's lines into the paper's rows, one column per source site, as seen from
/// `host`.
///
/// # Errors
/// When a file of the plan cannot be read, or a site cannot be the paper's site it was identified as.
/// Missing and failed lines are in the collection.
pub fn collect(plan: &Plan, config: &CollectConfig, host: &str) -> Result<Collection> {
    let columns = TableColumn::all(&sweep_sites(plan, config.paper_sites.as_ref())?);
    let mean_over = config.mean_over;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let (mut seeds, mut unscored) = (Vec::new(), Vec::new());
    for line in plan.lines() {
        seeds.push(line.train.seed);
        let scores = plan.scores(line).ok().flatten();
        let dice = scores.as_ref().and_then(|s| mean_over.of(s)).map(|d| 100.0 * d);
        if dice.is_none() {
            missing.push(MissingLine {
                index: line.index,
                id: line.id.clone(),
                column: line.column_site().unwrap_or_default().to_owned(),
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
    let PlanLine { protocol, train, .. } = plan.line(0)?;
    let (protocol, classes) = (*protocol, train.classes.clone());
    // The published figures are of one foreground.
    let figures_of = classes.is_foreground().then_some(protocol);
    let planned = |t: &SweepTable| found.iter().any(|(l, _)| l.cells.iter().any(|c| c.table == *t));
    let tables = SweepTable::ALL.into_iter().filter(planned).map(|table| {
        let rows = table.rows().iter();
        let rows = rows.map(|row| collect_row(table, row, &columns, figures_of, &found));
        CollectedTable { table, title: table.title(), rows: rows.collect() }
    });
    let tables = tables.collect();
    Ok(Collection { protocol, mean_over, classes, seeds, columns, tables, missing, unscored })
}

fn collect_row(
    table: SweepTable,
    row: &PaperRow,
    columns: &[TableColumn],
    figures_of: Option<Protocol>,
    found: &[(&PlanLine, Option<f64>)],
) -> CollectedRow {
    let of_row = |line: &PlanLine| line.cells.iter().any(|c| c.table == table && c.row == row.name);
    let mut cells: Vec<DiceBySeed> = vec![DiceBySeed::new(); columns.len()];
    for (line, dice) in found.iter().filter(|(line, _)| of_row(line)) {
        let own = |column: &TableColumn| column.site.as_deref() == line.column_site();
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
                OurCell { planned: seeds.len(), score: SeedScore::of(&done) }
            })
            .collect(),
    });
    let known = columns.iter().any(|c| c.paper_site.is_some());
    let figure = |column: &TableColumn| row.figures?.get(column.paper_site?.column()).copied();
    let published = row.overall.filter(|_| figures_of == Some(table.protocol()) && known);
    let paper = published
        .map(|overall| PaperFigures { cells: columns.iter().map(figure).collect(), overall });
    CollectedRow { method: row.name, paper, ours }
}

/// Mean over cells for each seed, then over seeds; `None` while a cell is incomplete.
fn overall(cells: &[DiceBySeed]) -> Option<SeedScore> {
    let mut means = Vec::new();
    for seed in cells.first()?.keys() {
        let mut sum = 0.0;
        for cell in cells {
            sum += cell.get(seed).copied().flatten()?;
        }
        means.push(sum / cells.len() as f64);
    }
    let whole = cells.iter().all(|c| c.len() == means.len());
    if whole { SeedScore::of(&means) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_of_a_sample() {
        // By hand: mean 3, squares 1 + 0 + 1, over 2.
        let score = SeedScore::of(&[2.0, 3.0, 4.0]).unwrap();
        assert_eq!((score.mean, score.spread, score.seeds), (3.0, Some(1.0), 3));
        assert_eq!(SeedScore::of(&[5.0]).unwrap().spread, None);
        assert_eq!(SeedScore::of(&[]), None);
    }

    #[test]
    fn overall_needs_all_cells_of_every_seed() {
        let cell = |a: Option<f64>, b: Option<f64>| DiceBySeed::from([(0, a), (1, b)]);
        let mut cells: [DiceBySeed; 6] =
            std::array::from_fn(|n| cell(Some(n as f64), Some(n as f64 + 1.0)));
        // By hand: 0 to 5 have the mean 2.5, 1 to 6 have 3.5; together 3, spread sqrt(0.5).
        let score = overall(&cells).unwrap();
        assert_eq!((score.mean, score.seeds), (3.0, 2));
        assert!((score.spread.unwrap() - 0.5f64.sqrt()).abs() < 1e-12);
        cells[3] = cell(Some(1.0), None);
        assert_eq!(overall(&cells), None);
        cells[3] = DiceBySeed::new();
        assert_eq!(overall(&cells), None);
    }
}
