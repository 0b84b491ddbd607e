//! Rendering of collected tables as plain text, Markdown and CSV.

use super::collect::{CollectedRow, CollectedTable, Collection, OurCell, SeedScore, TableColumn};
use super::paper_tables::SourceRule;
use super::sites::PaperLetter;
use crate::evaluate::TextTable;
use crate::{Error, Result};

/// A row of a rendered table: one cell per column, and the overall one last.
struct TextRow {
    method: &'static str,
    whose: &'static str,
    cells: Vec<String>,
}

const NOT_PLANNED: &str = "·";
const MISSING: &str = "missing";
/// Cell of a column that the paper does not have.
const NO_FIGURE: &str = "–";

fn score_text(score: &SeedScore) -> String {
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

fn text_rows(row: &CollectedRow) -> Vec<TextRow> {
    let mut lines = Vec::new();
    if let Some(paper) = &row.paper {
        let figure = |figure: &Option<f64>| figure.as_ref().map_or(NO_FIGURE.into(), two_decimals);
        let overall = std::iter::once(two_decimals(&paper.overall));
        let cells = paper.cells.iter().map(figure).chain(overall).collect();
        lines.push(TextRow { method: row.method, whose: "paper", cells });
    }
    if let Some(ours) = &row.ours {
        let overall = match &ours.overall {
            Some(score) => score_text(score),
            None if ours.cells.iter().any(OurCell::is_missing) => MISSING.to_owned(),
            None => NOT_PLANNED.to_owned(),
        };
        let cells = ours.cells.iter().map(cell_text).chain([overall]).collect();
        let method = if row.paper.is_some() { "" } else { row.method };
        lines.push(TextRow { method, whose: "ours", cells });
    }
    lines
}

fn two_decimals(figure: &f64) -> String {
    format!("{figure:.2}")
}

impl CollectedTable {
    fn head(&self, columns: &[TableColumn]) -> Vec<String> {
        let sites = columns.iter().map(|c| self.table.column_head(&c.name()));
        let names = [self.table.head().to_owned(), "whose".to_owned()];
        names.into_iter().chain(sites).chain(["Overall".to_owned()]).collect()
    }

    fn body(&self) -> Vec<Vec<String>> {
        let row = |line: TextRow| {
            let names = [line.method.to_owned(), line.whose.to_owned()];
            names.into_iter().chain(line.cells).collect()
        };
        self.rows.iter().flat_map(text_rows).map(row).collect()
    }
}

impl Collection {
    /// The legend: what the figures are.
    pub fn legend(&self) -> String {
        let seeds = self.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let spread = if self.seeds.len() > 1 {
            format!("mean ± standard deviation over the seeds {seeds}")
        } else {
            format!("seed {seeds}")
        };
        let others = self.about_the_paper();
        let classes = match self.classes.len() {
            _ if self.classes.is_foreground() => String::new(),
            1 => format!(" of class {}", self.classes),
            _ => format!(" as mean of the classes {}", self.classes),
        };
        format!(
            "Dice in per cent{classes}, {} protocol, mean over the {} of the sites that the model was not \
             trained on; {spread}; {others}.",
            self.protocol, self.mean_over
        )
    }

    /// Note on whether and how the paper's scores may be compared with ours.
    fn about_the_paper(&self) -> String {
        let lettered = || self.columns.iter().filter(|c| c.paper_site.is_some());
        if lettered().next().is_none() {
            return "no site is mapped to one of the paper's, so its figures are omitted"
                .to_owned();
        }
        if self.tables.iter().all(|table| table.rows.iter().all(|row| row.paper.is_none())) {
            return "published figures are left out: they were scored otherwise, and protocols are \
                    never mixed in one table"
                .to_owned();
        }
        let known = lettered().filter_map(|c| Some(format!("{} = {}", c.name(), c.site.as_ref()?)));
        let known = known.collect::<Vec<_>>().join(", ");
        let own = "\"paper\" are published figures, \"ours\" those of this plan";
        let same = self.columns.len() == PaperLetter::ALL.len()
            && self.columns.iter().all(|c| c.site.is_some());
        let other = if same {
            ""
        } else {
            "; the paper's rest are the other five of its six sites, here they are other sites"
        };
        format!("{own}, whose sites are the paper's {known}{other}")
    }

    /// Cells that the plan does not contain, one line per row.
    pub fn not_planned(&self) -> Vec<String> {
        let mut all = Vec::new();
        for table in &self.tables {
            for row in &table.rows {
                let Some(ours) = &row.ours else { continue };
                let gaps = self.columns.iter().zip(&ours.cells).filter(|(_, c)| c.planned == 0);
                let gaps = gaps.map(|(column, _)| column.name()).collect::<Vec<_>>().join(", ");
                if !gaps.is_empty() {
                    all.push(format!(
                        "not planned: {}, {}: {gaps}",
                        table.table.label(),
                        row.method
                    ));
                }
            }
        }
        all
    }

    /// The tables as plain text for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            text.push_str(&format!("{}: {}\n", table.table.label(), table.title));
            let mut rows = TextTable::new(table.head(&self.columns));
            table.body().into_iter().for_each(|row| rows.push(row));
            text.push_str(&rows.render());
            text.push('\n');
        }
        text.push_str(&self.legend());
        text.push('\n');
        text.push_str(&self.remarks("", "\n"));
        text
    }

    /// The tables in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            text.push_str(&format!("**{}: {}**\n\n", table.table.label(), table.title));
            let safe = |cell: &String| cell.replace('|', "\\|");
            let line = |cells: &[String]| {
                format!("| {} |\n", cells.iter().map(safe).collect::<Vec<_>>().join(" | "))
            };
            text.push_str(&line(&table.head(&self.columns)));
            text.push_str(&format!("|---|---|{}\n", "---:|".repeat(self.columns.len() + 1)));
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

    /// The tables as CSV: for each row the paper's figures, ours and, for several seeds, our standard
    /// deviation and the number of finished seeds. Missing cells are empty.
    ///
    /// # Errors
    /// When the text cannot be encoded, which would be a bug.
    pub fn csv(&self) -> Result<String> {
        let failed = |e: String| Error::Invalid(format!("tables as CSV: {e}"));
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut put = |row: Vec<String>| csv.write_record(row).map_err(|e| failed(e.to_string()));
        // One header for all tables: a plan that trains on one site and on all but one has bare names.
        let all = |rule| self.tables.iter().all(|t| t.table.sources() == rule);
        let column = |c: &TableColumn| {
            let name = c.paper_site.map_or_else(|| c.name(), |l| l.to_string().to_lowercase());
            match (all(SourceRule::One), all(SourceRule::AllButOne)) {
                (true, _) => format!("{name}_to_rest"),
                (false, true) => format!("rest_to_{name}"),
                (false, false) => name,
            }
        };
        let names = ["table", "row", "whose"].map(str::to_owned).into_iter();
        let columns = self.columns.iter().map(column);
        put(names.chain(columns).chain(["overall".to_owned()]).collect())?;
        for table in &self.tables {
            for row in &table.rows {
                let named = |whose: &str, cells: Vec<String>| {
                    let names = [table.table.to_string(), row.method.into(), whose.into()];
                    names.into_iter().chain(cells).collect::<Vec<String>>()
                };
                if let Some(paper) = &row.paper {
                    let overall = Some(paper.overall);
                    let figures = paper.cells.iter().chain([&overall]);
                    let figure = |f: &Option<f64>| f.as_ref().map_or(String::new(), two_decimals);
                    put(named("paper", figures.map(figure).collect()))?;
                }
                let Some(ours) = &row.ours else { continue };
                let scores = || ours.cells.iter().map(|c| c.score).chain([ours.overall]);
                let column = |show: fn(&SeedScore) -> Option<String>| -> Vec<String> {
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
