//! Collected tables as text, Markdown and CSV.

use super::collect::{CollectedRow, CollectedTable, Collection, OurCell, Score};
use super::sites::Letter;
use crate::evaluate::{Protocol, Rows};
use crate::{Error, Result};

/// A line of a table: whose figures, and eight cells.
struct Line {
    method: &'static str,
    whose: &'static str,
    cells: [String; 7],
}

const NOT_PLANNED: &str = "·";
const MISSING: &str = "missing";

fn score_text(score: &Score) -> String {
    match score.spread {
        Some(spread) => format!("{:.2} ±{spread:.2}", score.mean),
        None => format!("{:.2}", score.mean),
    }
}

fn cell_text(cell: &OurCell) -> String {
    match (cell.planned, &cell.score) {
        (0, _) => NOT_PLANNED.to_owned(),
        (_, None) => MISSING.to_owned(),
        (planned, Some(score)) if cell.is_missing() => {
            format!("{} ({} of {planned})", score_text(score), score.seeds)
        }
        (_, Some(score)) => score_text(score),
    }
}

fn lines(row: &CollectedRow) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(paper) = &row.paper {
        let mut figures = paper.cells.iter().chain([&paper.overall]);
        let cells = std::array::from_fn(|_| figures.next().map_or_else(String::new, two_decimals));
        lines.push(Line { method: row.method, whose: "paper", cells });
    }
    if let Some(ours) = &row.ours {
        let overall = match &ours.overall {
            Some(score) => score_text(score),
            None if ours.cells.iter().any(OurCell::is_missing) => MISSING.to_owned(),
            None => NOT_PLANNED.to_owned(),
        };
        let mut texts = ours.cells.iter().map(cell_text).chain([overall]);
        let cells = std::array::from_fn(|_| texts.next().unwrap_or_default());
        let method = if row.paper.is_some() { "" } else { row.method };
        lines.push(Line { method, whose: "ours", cells });
    }
    lines
}

fn two_decimals(figure: &f64) -> String {
    format!("{figure:.2}")
}

impl CollectedTable {
    fn head(&self) -> [String; 9] {
        let sites = Letter::ALL.map(|l| format!("{l} to Rest"));
        let mut names = [self.table.head().to_owned(), "whose".to_owned()]
            .into_iter()
            .chain(sites)
            .chain(["Overall".to_owned()]);
        std::array::from_fn(|_| names.next().unwrap_or_default())
    }

    fn body(&self) -> Vec<[String; 9]> {
        let all = self.rows.iter().flat_map(lines).map(|line| {
            let [a, b, c, d, e, f, overall] = line.cells;
            [line.method.to_owned(), line.whose.to_owned(), a, b, c, d, e, f, overall]
        });
        all.collect()
    }
}

impl Collection {
    /// What the figures are, in a few lines.
    pub fn legend(&self) -> String {
        let seeds = self.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let spread = if self.seeds.len() > 1 {
            format!("mean ± standard deviation over the seeds {seeds}")
        } else {
            format!("seed {seeds}")
        };
        let others = match self.protocol {
            Protocol::Paper => "\"paper\" are the paper's own figures, \"ours\" those of this plan",
            Protocol::Full => {
                "the paper's figures are left out: it scores otherwise, and protocols are never \
                 mixed in one table"
            }
        };
        format!(
            "Dice in per cent, {} protocol, mean over the {} of the other sites; {spread}; {others}.",
            self.protocol, self.mean_over
        )
    }

    /// Cells of the tables that the plan does not have, a line a row.
    pub fn not_planned(&self) -> Vec<String> {
        let mut all = Vec::new();
        for table in &self.tables {
            for row in &table.rows {
                let Some(ours) = &row.ours else { continue };
                let gaps = Letter::ALL.into_iter().zip(&ours.cells).filter(|(_, c)| c.planned == 0);
                let gaps = gaps.map(|(l, _)| l.to_string()).collect::<Vec<_>>().join(", ");
                if !gaps.is_empty() {
                    all.push(format!("not planned: Table {}, {}: {gaps}", table.table, row.method));
                }
            }
        }
        all
    }

    /// Tables for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            text.push_str(&format!("Table {}: {}\n", table.table, table.title));
            let mut rows = Rows::new(table.head().to_vec());
            table.body().iter().for_each(|row| rows.push(row.to_vec()));
            text.push_str(&rows.text());
            text.push('\n');
        }
        text.push_str(&self.legend());
        text.push('\n');
        text.push_str(&self.remarks("", "\n"));
        text
    }

    /// Tables in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            text.push_str(&format!("**Table {}: {}**\n\n", table.table, table.title));
            let line = |cells: &[String; 9]| format!("| {} |\n", cells.join(" | "));
            text.push_str(&line(&table.head()));
            text.push_str("|---|---|---:|---:|---:|---:|---:|---:|---:|\n");
            for row in table.body() {
                text.push_str(&line(&row));
            }
            text.push('\n');
        }
        text.push_str(&self.legend());
        text.push('\n');
        text.push_str(&self.remarks("\n", "\n"));
        text
    }

    fn remarks(&self, before: &str, after: &str) -> String {
        let lost = self.unscored.iter().map(|case| format!("in no mean: {case}"));
        let all = self.not_planned().into_iter().chain(lost);
        all.map(|remark| format!("{before}{remark}{after}")).collect()
    }

    /// Tables as CSV: of each row of a table the paper's figures, ours, and where there are several
    /// seeds our spread and the number of seeds that are done. What is missing is empty.
    ///
    /// # Errors
    /// When the text cannot be made, which would be a fault of this program.
    pub fn csv(&self) -> Result<String> {
        let failed = |e: String| Error::Invalid(format!("tables as CSV: {e}"));
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut put = |row: Vec<String>| csv.write_record(row).map_err(|e| failed(e.to_string()));
        let head = ["table", "row", "whose", "a_to_rest", "b_to_rest", "c_to_rest", "d_to_rest"];
        put(head
            .iter()
            .chain(&["e_to_rest", "f_to_rest", "overall"])
            .map(|s| (*s).into())
            .collect())?;
        for table in &self.tables {
            for row in &table.rows {
                let named = |whose: &str, cells: Vec<String>| {
                    let names = [table.table.to_string(), row.method.into(), whose.into()];
                    names.into_iter().chain(cells).collect::<Vec<String>>()
                };
                if let Some(paper) = &row.paper {
                    let figures = paper.cells.iter().chain([&paper.overall]);
                    put(named("paper", figures.map(two_decimals).collect()))?;
                }
                let Some(ours) = &row.ours else { continue };
                let scores = || ours.cells.iter().map(|c| c.score).chain([ours.overall]);
                let column = |show: fn(&Score) -> Option<String>| -> Vec<String> {
                    scores().map(|s| s.as_ref().and_then(show).unwrap_or_default()).collect()
                };
                put(named("ours", column(|s| Some(format!("{:.4}", s.mean)))))?;
                if self.seeds.len() > 1 {
                    put(named("ours_spread", column(|s| s.spread.map(|v| format!("{v:.4}")))))?;
                    put(named("ours_seeds", column(|s| Some(s.seeds.to_string()))))?;
                }
            }
        }
        let bytes = csv.into_inner().map_err(|e| failed(e.to_string()))?;
        String::from_utf8(bytes).map_err(|e| failed(e.to_string()))
    }
}
