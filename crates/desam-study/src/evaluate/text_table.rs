//! Plain-text tables for a terminal.

/// A plain-text table. The first two columns are left-aligned names, the others right-aligned numbers.
pub(crate) struct TextTable {
    rows: Vec<Vec<String>>,
    /// Indices of the rows with a rule above them.
    rules: Vec<usize>,
}

/// Gap between columns.
const GAP: &str = "  ";

impl TextTable {
    /// A table with a header row.
    pub(crate) fn new(head: Vec<String>) -> Self {
        Self { rows: vec![head], rules: vec![1] }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Draws a rule above the next row.
    pub(crate) fn rule(&mut self) {
        self.rules.push(self.rows.len());
    }

    /// Renders the table, one line per row, without trailing blanks.
    pub(crate) fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        let rule = "-".repeat(widths.iter().sum::<usize>() + gaps);
        let mut text = String::new();
        for (n, row) in self.rows.iter().enumerate() {
            if self.rules.contains(&n) {
                text.push_str(&rule);
                text.push('\n');
            }
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            let line = cells.collect::<Vec<_>>().join(GAP);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}
