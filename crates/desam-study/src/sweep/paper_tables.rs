//! The figures of the paper's Tables 1 to 3 and of leaving one site out, and the settings that reproduce
//! each row.

use crate::evaluate::Protocol;
use desam::{Mode, PAPER_GRID};
use desam_decoder::Variant;
use serde::{Deserialize, Serialize};

/// A table of runs: one of the paper's, or the one that trains on several sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "TableName", try_from = "TableName")]
pub enum SweepTable {
    /// Table 1: DeSAM compared with other methods.
    Methods,
    /// Table 2: the ablations.
    Ablations,
    /// Table 3: the size of the grid.
    Grids,
    /// Not in the paper: training on all sites but one, scored on that one.
    LeaveOneOut,
}

/// A table in JSON: the paper's by their numbers, as in plans from before there was another.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum TableName {
    Number(u8),
    Name(String),
}

impl SweepTable {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Methods, Self::Ablations, Self::Grids, Self::LeaveOneOut];

    /// The paper's.
    pub const OF_THE_PAPER: [Self; 3] = [Self::Methods, Self::Ablations, Self::Grids];

    /// Its number in the paper.
    pub fn number(self) -> Option<u8> {
        match self {
            Self::Methods => Some(1),
            Self::Ablations => Some(2),
            Self::Grids => Some(3),
            Self::LeaveOneOut => None,
        }
    }

    /// Its caption, in short.
    pub fn title(self) -> &'static str {
        match self {
            Self::Methods => "single-source domain generalization",
            Self::Ablations => "ablation",
            Self::Grids => "number of points along each side of the grid",
            Self::LeaveOneOut => "trained on all sites but one, scored on that one",
        }
    }

    /// Heading of the caption: `Table 1`, `Leave one site out`.
    pub fn label(self) -> String {
        self.number().map_or("Leave one site out".into(), |number| format!("Table {number}"))
    }

    /// Heading of the column of a site.
    pub fn column_head(self, site: &str) -> String {
        match self.sources() {
            SourceRule::One => format!("{site} to Rest"),
            SourceRule::AllButOne => format!("Rest to {site}"),
        }
    }

    /// Heading of its first column.
    pub fn head(self) -> &'static str {
        match self {
            Self::Methods | Self::Ablations | Self::LeaveOneOut => "Method",
            Self::Grids => "Grid points",
        }
    }

    /// Its rows, in its order.
    pub fn rows(self) -> &'static [PaperRow] {
        match self {
            Self::Methods => &METHODS,
            Self::Ablations => &ABLATIONS,
            Self::Grids => &GRIDS,
            Self::LeaveOneOut => &LEAVE_ONE_OUT,
        }
    }

    /// The protocol of its published figures, which are shown next to scores of the same one alone.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Methods | Self::Ablations | Self::Grids => Protocol::Paper,
            Self::LeaveOneOut => Protocol::Native,
        }
    }

    /// The sites that its models are trained on.
    pub fn sources(self) -> SourceRule {
        match self {
            Self::Methods | Self::Ablations | Self::Grids => SourceRule::One,
            Self::LeaveOneOut => SourceRule::AllButOne,
        }
    }
}

/// The sites that the model of a column is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceRule {
    /// The column's site; the others are targets.
    One,
    /// All but the column's site, which is the target.
    AllButOne,
}

impl From<SweepTable> for TableName {
    fn from(table: SweepTable) -> Self {
        table.number().map_or_else(|| Self::Name(table.to_string()), Self::Number)
    }
}

impl TryFrom<TableName> for SweepTable {
    type Error = String;

    fn try_from(name: TableName) -> Result<Self, String> {
        match name {
            TableName::Number(number) => number.to_string().parse(),
            TableName::Name(name) => name.parse(),
        }
    }
}

impl std::fmt::Display for SweepTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Methods => "1",
            Self::Ablations => "2",
            Self::Grids => "3",
            Self::LeaveOneOut => "leave-one-out",
        })
    }
}

impl desam_core::Named for SweepTable {
    const VARIANTS: &'static [Self] = &Self::ALL;
    const NAMES: &'static [&'static str] = &["1", "2", "3", "leave-one-out"];
}

impl std::str::FromStr for SweepTable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|table| table.to_string() == text);
        found.ok_or_else(|| format!("table {text:?}: expected 1, 2, 3 or leave-one-out"))
    }
}

/// A row of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaperRow {
    /// As the paper names it.
    pub name: &'static str,
    /// Published figures, Dice in per cent: A to Rest, B to Rest, and so on to F, or Rest to A where one
    /// site is left out; `None` for a row without published figures.
    pub figures: Option<[f64; 6]>,
    /// The published overall figure.
    pub overall: Option<f64>,
    /// The settings that reproduce the row; `None` for methods that this program does not implement.
    pub setting: Option<RowSetting>,
}

/// The settings of a reproducible row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowSetting {
    /// Prompting mode: grid points or whole box.
    pub mode: Mode,
    /// The decoder.
    pub variant: Variant,
    /// Points along each side of the grid; `None` in whole box mode.
    pub grid: Option<usize>,
}

const fn row(
    name: &'static str,
    figures: [f64; 6],
    overall: f64,
    setting: Option<RowSetting>,
) -> PaperRow {
    PaperRow { name, figures: Some(figures), overall: Some(overall), setting }
}

const fn whole_box(variant: Variant) -> Option<RowSetting> {
    Some(RowSetting { mode: Mode::Box, variant, grid: None })
}

const fn points(variant: Variant, grid: usize) -> Option<RowSetting> {
    Some(RowSetting { mode: Mode::Points, variant, grid: Some(grid) })
}

/// DeSAM's row of Table 1, which Tables 2 and 3 repeat.
const DESAM: [f64; 6] = [82.80, 80.61, 64.77, 83.41, 80.36, 82.17];

#[rustfmt::skip]
static METHODS: [PaperRow; 12] = [
    row("Upper bound", [85.38, 83.68, 82.15, 85.21, 87.04, 84.29], 84.63, None),
    row("Baseline", [63.73, 61.21, 27.41, 34.36, 44.10, 61.70], 48.75, None),
    row("AdvNoise", [72.15, 63.26, 30.81, 40.12, 48.07, 60.12], 52.42, None),
    row("AdvBias", [77.45, 62.12, 51.09, 70.20, 51.12, 50.69], 60.45, None),
    row("RandConv", [75.52, 57.23, 44.21, 61.27, 49.98, 54.21], 57.07, None),
    row("MixStyle", [73.04, 59.29, 43.00, 62.17, 53.12, 50.03], 56.78, None),
    row("MaxStyle", [81.25, 70.27, 62.09, 58.18, 70.04, 67.77], 68.27, None),
    row("CSDG", [80.72, 68.00, 59.78, 72.40, 68.67, 70.78], 70.06, None),
    // "MedSAM was implemented in the whole box mode" (section 4.1).
    row("MedSAM", [72.32, 73.31, 61.53, 64.46, 68.89, 61.39], 66.98,
        whole_box(Variant::SamDecoder)),
    row("DeSAM (whole box)", [82.30, 78.06, 66.65, 82.87, 77.58, 79.05], 77.75,
        whole_box(Variant::Desam)),
    row("DeSAM (grid points)", DESAM, 79.02, points(Variant::Desam, PAPER_GRID)),
    // DeSAM (grid points) less the baseline.
    row("Impro. over baseline", [19.07, 19.40, 37.36, 49.05, 36.26, 20.47], 30.27, None),
];

#[rustfmt::skip]
static ABLATIONS: [PaperRow; 4] = [
    row("PIMM only", [79.09, 74.96, 54.19, 80.11, 77.22, 77.53], 73.85,
        points(Variant::PimmOnly, PAPER_GRID)),
    row("PIMM + PRIM w/o IoU prediction head", [76.74, 76.61, 58.94, 80.45, 78.39, 79.56], 75.12,
        points(Variant::NoIouHead, PAPER_GRID)),
    row("PIMM + PRIM w/o mask embedding fusion", [79.52, 78.37, 59.59, 82.65, 80.16, 74.58], 75.81,
        points(Variant::NoMaskFusion, PAPER_GRID)),
    row("DeSAM", DESAM, 79.02, points(Variant::Desam, PAPER_GRID)),
];

#[rustfmt::skip]
static GRIDS: [PaperRow; 7] = [
    row("1", [82.00, 76.33, 62.28, 83.40, 80.31, 79.30], 77.27, points(Variant::Desam, 1)),
    row("5", [82.33, 77.72, 64.66, 83.40, 80.32, 80.65], 78.18, points(Variant::Desam, 5)),
    row("9", DESAM, 79.02, points(Variant::Desam, 9)),
    row("11", [82.81, 80.70, 64.74, 83.43, 80.34, 82.24], 79.04, points(Variant::Desam, 11)),
    row("15", [82.81, 80.68, 64.76, 83.45, 80.29, 82.25], 79.04, points(Variant::Desam, 15)),
    row("21", [82.81, 80.62, 64.75, 83.44, 80.34, 82.20], 79.03, points(Variant::Desam, 21)),
    row("25", [82.82, 80.64, 64.75, 83.40, 80.33, 82.22], 79.03, points(Variant::Desam, 25)),
];

/// Rows of ours that have no published figures.
const fn unpublished(name: &'static str, setting: Option<RowSetting>) -> PaperRow {
    PaperRow { name, figures: None, overall: None, setting }
}

/// Published figures on the same six sites: trained on five, Dice on the sixth, a 2-D nnU-Net framework,
/// volumes cut to their slices with ground truth (Hu et al., DCAC, arXiv 2109.05676, table of the
/// project's page; its domains are in the order of the letters by their numbers of cases, E and F
/// having the same number).
#[rustfmt::skip]
static LEAVE_ONE_OUT: [PaperRow; 8] = [
    row("DeepAll, five sources pooled", [89.16, 87.31, 74.12, 88.85, 83.22, 88.39], 85.18, None),
    row("BigAug", [90.68, 89.52, 84.86, 89.04, 73.24, 89.10], 86.07, None),
    row("SAML", [91.00, 89.26, 85.76, 89.60, 81.60, 89.91], 87.86, None),
    row("FedDG", [91.41, 89.95, 85.10, 89.13, 76.69, 90.63], 87.15, None),
    row("DoFE", [89.79, 87.42, 84.90, 88.56, 86.47, 87.72], 87.48, None),
    row("DCAC", [91.76, 90.51, 86.30, 89.13, 83.39, 90.56], 88.61, None),
    unpublished("DeSAM (whole box)", whole_box(Variant::Desam)),
    unpublished("DeSAM (grid points)", points(Variant::Desam, PAPER_GRID)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_s_overall_is_the_mean_of_its_columns() {
        // Tables 1 to 3 have two decimals: a mean of six may be off by 0.01. This would find a
        // typing error here.
        for table in SweepTable::ALL {
            for row in table.rows() {
                let Some((figures, overall)) = row.figures.zip(row.overall) else { continue };
                let mean = figures.iter().sum::<f64>() / 6.0;
                assert!((mean - overall).abs() < 0.011, "{table} {}: {mean}", row.name);
            }
        }
    }

    #[test]
    fn improvement_is_that_over_the_baseline() {
        let row = |name: &str| METHODS.iter().find(|r| r.name == name).unwrap();
        let (better, worse) = (row("DeSAM (grid points)"), row("Baseline"));
        let gain = row("Impro. over baseline");
        for n in 0..6 {
            let figure = |row: &PaperRow| row.figures.unwrap()[n];
            let found = figure(better) - figure(worse);
            assert!((found - figure(gain)).abs() < 0.006, "column {n}: {found}");
        }
        let overall = |row: &PaperRow| row.overall.unwrap();
        assert!((overall(better) - overall(worse) - overall(gain)).abs() < 0.006);
    }

    #[test]
    fn reproducible_rows_are_those_of_our_decoders() {
        let made = |t: SweepTable| t.rows().iter().filter(|r| r.setting.is_some()).count();
        assert_eq!(SweepTable::ALL.map(made), [3, 4, 7, 2]);
        for (table, json) in SweepTable::ALL.into_iter().zip(["1", "2", "3", "\"leave-one-out\""]) {
            assert_eq!(table.to_string().parse(), Ok(table));
            // As plans from before there was a fourth have it.
            assert_eq!(serde_json::to_string(&table).unwrap(), json);
            assert_eq!(serde_json::from_str::<SweepTable>(json).unwrap(), table);
            for setting in table.rows().iter().filter_map(|r| r.setting) {
                assert_eq!(setting.grid.is_some(), setting.mode == Mode::Points);
            }
        }
        assert!("4".parse::<SweepTable>().unwrap_err().contains("1, 2, 3 or leave-one-out"));
    }
}
