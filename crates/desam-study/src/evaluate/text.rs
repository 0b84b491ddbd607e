//! Tables for a terminal.

/// Rows of cells; the first two columns are names, to the left, the others numbers, to the right.
pub(crate) struct Rows {
    rows: Vec<Vec<String>>,
    /// Rows that a rule is drawn above.
    rules: Vec<usize>,
}

/// Between two columns.
const GAP: &str = "  ";

impl Rows {
    /// Below a head.
    pub(crate) fn new(head: Vec<String>) -> Self {
        Self { rows: vec![head], rules: vec![1] }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// A line above the next row.
    pub(crate) fn rule(&mut self) {
        self.rules.push(self.rows.len());
    }

    /// All of it, a line a row; no line ends in blanks.
    pub(crate) fn text(&self) -> String {
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
