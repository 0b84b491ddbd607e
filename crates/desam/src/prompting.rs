//! Automatic prompting: grid points or the whole box.

use crate::select::SelectionConfig;
use crate::{Error, Result};
use desam_prompt::MAX_GRID_SIDE;
use serde::{Deserialize, Serialize};

desam_core::named! {
    /// Automatic prompting mode: how a model is prompted without a user (paper, section 1).
    pub enum Mode: "mode" {
        /// Grid points mode: the mask of the point with the best predicted IoU.
        Points = "points",
        /// Whole box mode: one box as large as the image.
        Box = "box",
    }
}

desam_core::named! {
    /// How it is decided which slices of a volume hold the structure.
    #[derive(Default)]
    pub enum PresenceRule: "presence rule" {
        /// Each slice alone: a mask where the predicted IoU is above the presence threshold.
        #[default]
        Slice = "slice",
        /// The volume as a whole: one run of consecutive slices, by predicted IoU and area of the masks
        /// ([`keep_present_slices`](crate::predict::keep_present_slices)).
        Contiguous = "contiguous",
    }
}

impl PresenceRule {
    /// Whether slices are decided each alone.
    pub fn is_slice(&self) -> bool {
        *self == Self::Slice
    }
}

/// Points along each side of the paper's grid.
pub const PAPER_GRID: usize = 9;

/// Configuration of automatic prompting: mode, grid and mask selection. Together with the model and
/// the image it decides a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptingConfig {
    /// The mode.
    pub mode: Mode,
    /// Points along each side of the grid (paper: [`PAPER_GRID`]); not used in whole box mode.
    pub grid: usize,
    /// Mask selection in grid points mode, and removal of small regions in either mode.
    pub selection: SelectionConfig,
    /// Presence threshold of whole box mode: a slice whose predicted IoU is not above it gets no mask.
    /// For models that were trained on empty slices as well; `None` draws a mask on every slice. In
    /// grid points mode `selection.iou_threshold` does the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_threshold: Option<f32>,
    /// How slices without the structure are recognised.
    #[serde(default, skip_serializing_if = "PresenceRule::is_slice")]
    pub presence_rule: PresenceRule,
}

impl PromptingConfig {
    /// The official selection rule for masks of side `mask_side`, in pixels.
    pub fn new(mode: Mode, grid: usize, mask_side: usize) -> Self {
        let selection = SelectionConfig::for_side(mask_side);
        let presence_rule = PresenceRule::Slice;
        Self { mode, grid, selection, presence_threshold: None, presence_rule }
    }

    /// Sets the predicted IoU that a slice needs for a mask, in either mode. Slices are then decided each
    /// alone.
    #[must_use]
    pub fn with_presence_threshold(mut self, threshold: f32) -> Self {
        self.presence_rule = PresenceRule::Slice;
        match self.mode {
            Mode::Points => self.selection.iou_threshold = threshold,
            Mode::Box => self.presence_threshold = Some(threshold),
        }
        self
    }

    /// Sets the rule by which slices without the structure are recognised.
    #[must_use]
    pub fn with_presence_rule(self, presence_rule: PresenceRule) -> Self {
        Self { presence_rule, ..self }
    }

    /// The presence threshold of a whole volume, where it is decided as a whole: one of its slices must
    /// have a predicted IoU above it.
    pub(crate) fn contiguous_threshold(&self) -> Option<f32> {
        let threshold = match self.mode {
            Mode::Points => self.selection.iou_threshold,
            Mode::Box => self.presence_threshold.unwrap_or(f32::NEG_INFINITY),
        };
        (self.presence_rule == PresenceRule::Contiguous).then_some(threshold)
    }

    /// The prompting of a slice alone: every slice has a mask where the volume decides as a whole.
    pub(crate) fn of_slice(&self) -> Self {
        if self.presence_rule.is_slice() {
            return self.clone();
        }
        let mut every = self.clone();
        match every.mode {
            // At 0 the filter is off.
            Mode::Points => every.selection.iou_threshold = every.selection.iou_threshold.min(0.0),
            Mode::Box => every.presence_threshold = None,
        }
        every
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Grid`] and [`Error::Select`], naming the first setting that is out of range.
    pub fn validate(&self) -> Result<()> {
        if self.mode == Mode::Points && !(1..=MAX_GRID_SIDE).contains(&self.grid) {
            return Err(Error::Grid { found: self.grid });
        }
        if let Some(found) = self.presence_threshold.filter(|t| !t.is_finite()) {
            return Err(Error::Invalid(format!(
                "presence_threshold must be a finite number, found {found}"
            )));
        }
        Ok(self.selection.validate()?)
    }
}
