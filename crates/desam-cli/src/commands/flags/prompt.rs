//! Automatic prompts: the mode and the grid of points.

use crate::commands::values::{GRID_SIDE, enum_values, integer};
use crate::usage::usage;
use anyhow::bail;
use clap::Args;
use desam::{Mode, ModelRecord, PAPER_GRID, PresenceRule, PromptingConfig};

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

    /// Predicted IoU above which a slice gets a mask, -1000 to 1000; a low value draws a mask on every
    /// slice [default: the model's own, if it was trained on empty slices; else 0.5 in points mode, and
    /// none in box mode]
    #[arg(long, value_name = "IOU", allow_negative_numbers = true, value_parser = threshold)]
    presence_threshold: Option<f32>,

    /// How slices without the structure are recognised. slice: each alone, by the presence threshold.
    /// contiguous: masks stay on one run of consecutive slices, by predicted IoU and area [default: the
    /// model's own, if it was trained on empty slices, unless a threshold is given; else slice]
    #[arg(long, value_name = "RULE", value_parser = enum_values::<PresenceRule>())]
    presence_rule: Option<PresenceRule>,
}

/// Parser of `--presence-threshold`.
fn threshold(text: &str) -> Result<f32, String> {
    let parsed = text.parse::<f32>().ok().filter(|n| (-1000.0..=1000.0).contains(n));
    parsed.ok_or_else(|| "expected a number from -1000 to 1000".into())
}

impl PromptFlags {
    /// Rejects `--mode box --grid N`. Call this before any file is read.
    pub(in crate::commands) fn check(self) -> anyhow::Result<()> {
        if self.mode == Some(Mode::Box) && self.grid.is_some() {
            return Err(usage(format!("{NEEDS_POINTS}: use --mode points, or remove --grid")));
        }
        Ok(())
    }

    /// The prompts for a model: what the flags say, else those of its training.
    pub(in crate::commands) fn prompts(
        self,
        model: &ModelRecord,
    ) -> anyhow::Result<PromptingConfig> {
        let trained = model.prompting(PAPER_GRID);
        let mode = self.mode.unwrap_or(trained.mode);
        if mode == Mode::Box && self.grid.is_some() {
            bail!(
                "{NEEDS_POINTS}, and the model was trained in box mode: add --mode points, or \
                 remove --grid"
            );
        }
        let grid = self.grid.unwrap_or(PAPER_GRID);
        let prompting = if mode == trained.mode {
            PromptingConfig { grid, ..trained }
        } else {
            // The threshold of one mode says nothing about the other.
            PromptingConfig::new(mode, grid, model.spec.mask_side())
        };
        let prompting = match self.presence_threshold {
            Some(threshold) => prompting.with_presence_threshold(threshold),
            None => prompting,
        };
        Ok(match self.presence_rule {
            Some(rule) => prompting.with_presence_rule(rule),
            None => prompting,
        })
    }
}
