//! Automatic prompts: the mode and the grid of points.

use crate::commands::values::{GRID_SIDE, enum_values, integer};
use crate::usage::usage;
use anyhow::bail;
use clap::Args;
use desam::{Mode, PromptingConfig};

const NEEDS_POINTS: &str = "--grid is for points mode only";

/// Flags of commands that prompt a trained model.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::commands) struct PromptFlags {
    /// Prompts: a grid of points, or one box as large as the image [default: the mode that the model
    /// was trained in, points if it is not recorded]
    #[arg(long, value_name = "MODE", value_parser = enum_values::<Mode>())]
    mode: Option<Mode>,

    /// Points along each side of the prompt grid, 1 to 64; points mode only [default: 9]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = integer(GRID_SIDE))]
    grid: Option<usize>,
}

impl PromptFlags {
    /// Rejects `--mode box --grid N`. Call this before any file is read.
    pub(in crate::commands) fn check(self) -> anyhow::Result<()> {
        if self.mode == Some(Mode::Box) && self.grid.is_some() {
            return Err(usage(format!("{NEEDS_POINTS}: use --mode points, or remove --grid")));
        }
        Ok(())
    }

    /// The prompts for a model: what the flags say, else `default`.
    pub(in crate::commands) fn prompts(
        self,
        default: PromptDefaults,
        mask_side: usize,
    ) -> anyhow::Result<PromptingConfig> {
        let mode = self.mode.unwrap_or(default.mode);
        if mode == Mode::Box && self.grid.is_some() {
            bail!(
                "{NEEDS_POINTS}, and the model was trained in box mode: add --mode points, or \
                 remove --grid"
            );
        }
        Ok(PromptingConfig::new(mode, self.grid.unwrap_or(default.grid), mask_side))
    }
}

/// Prompts where no flag is given.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct PromptDefaults {
    /// The mode that the model was trained in.
    pub(in crate::commands) mode: Mode,
    /// Points along each side of the grid.
    pub(in crate::commands) grid: usize,
}
