//! The two automatic modes, and how a model is prompted at prediction.

use crate::select::SelectionConfig;
use desam_prompt::MAX_GRID_SIDE;
use serde::{Deserialize, Serialize};

/// How a model is prompted without anyone prompting it (paper, section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Grid points mode: the mask of the point with the best predicted IoU.
    Points,
    /// Whole box mode: one box as large as the image.
    Box,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Points => "points",
            Self::Box => "box",
        })
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "points" => Ok(Self::Points),
            "box" => Ok(Self::Box),
            other => Err(format!("mode {other:?}: expected points or box")),
        }
    }
}

/// Everything that decides a prediction beside the model and the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Automatic {
    /// Which of the two modes.
    pub mode: Mode,
    /// Points along each side of the grid (paper: 9); not used in whole box mode.
    pub grid: usize,
    /// Which of the grid's masks is taken, and how masks are cleaned in either mode.
    pub selection: SelectionConfig,
}

impl Automatic {
    /// The official rule for masks of side `mask_side`.
    pub fn new(mode: Mode, grid: usize, mask_side: usize) -> Self {
        Self { mode, grid, selection: SelectionConfig::for_side(mask_side) }
    }

    /// Checks that it can be used.
    ///
    /// # Errors
    /// Naming the setting that does not fit.
    pub fn validate(&self) -> crate::Result<()> {
        if self.mode == Mode::Points && !(1..=MAX_GRID_SIDE).contains(&self.grid) {
            let found = self.grid;
            let reason = format!("grid must be 1 to {MAX_GRID_SIDE} points a side, found {found}");
            return Err(crate::Error::Invalid(reason));
        }
        self.selection.validate().map_err(|e| crate::Error::Invalid(e.to_string()))
    }
}
