//! What an evaluation says.

use super::Protocol;
use crate::Mode;
use crate::select::SelectionConfig;
use desam_metrics::metric::{BothEmpty, Confusion, Overlap};
use serde::{Deserialize, Serialize};

/// What a case was to the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Of the source site, held out from training.
    SourceValidation,
    /// Of a site that training never saw.
    Target,
}

impl Role {
    /// One word, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::SourceValidation => "validation",
            Self::Target => "target",
        }
    }
}

/// The score of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseScore {
    /// Its site.
    pub site: String,
    /// Its name within the site.
    pub case: String,
    /// What it was to the training.
    pub role: Role,
    /// Dice over all its scored voxels, 0 to 1.
    pub dice: f64,
    /// Slices that were predicted.
    pub slices: usize,
    /// Foreground of the ground truth: voxels of the label file (full protocol) or pixels of the
    /// `M × M` masks (paper protocol).
    pub truth_voxels: u64,
    /// Foreground of the prediction, counted alike, after the border rule.
    pub predicted_voxels: u64,
    /// Volume of the ground truth, in ml; full protocol alone.
    #[serde(default)]
    pub truth_ml: Option<f64>,
    /// Volume of the prediction, in ml; full protocol alone.
    #[serde(default)]
    pub predicted_ml: Option<f64>,
}

/// A case that could not be scored, and why. It is in no mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnscoredCase {
    /// Its site.
    pub site: String,
    /// Its name within the site.
    pub case: String,
    /// What it was to the training.
    pub role: Role,
    /// Why it was not scored.
    pub reason: String,
}

/// The scores of one site's cases, taken together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteScore {
    /// The site.
    pub site: String,
    /// What its cases were to the training.
    pub role: Role,
    /// Cases that were scored.
    pub cases: usize,
    /// Mean Dice over its cases, 0 to 1.
    pub mean_dice: f64,
    /// Median Dice, 0 to 1; between the two middle ones of an even number.
    pub median_dice: f64,
    /// The worst case's Dice, 0 to 1.
    pub min_dice: f64,
    /// Cases in which nothing was found, each a Dice of 0 in the mean.
    pub empty_predictions: usize,
}

/// All scores of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The site the model was trained on.
    pub source: String,
    /// How the model was prompted.
    pub mode: Mode,
    /// Points along each side of the grid; `None` in whole box mode.
    pub grid: Option<usize>,
    /// The rule that picked and cleaned the masks.
    pub selection: SelectionConfig,
    /// Which voxels were compared.
    pub protocol: Protocol,
    /// Border of the predicted masks that was set to zero, in pixels of side `mask_side`.
    pub border_px: usize,
    /// Side `M` of the masks, in pixels.
    pub mask_side: usize,
    /// Every case that was scored, by site, then as the cache has them.
    pub cases: Vec<CaseScore>,
    /// Every case that should have been scored and could not be.
    pub unscored: Vec<UnscoredCase>,
    /// Every site with a scored case, the source site first.
    pub sites: Vec<SiteScore>,
    /// Mean of the target sites' means, 0 to 1; `None` without a target site.
    pub overall_dice: Option<f64>,
    /// Mean over all cases of the target sites, as the official program reports it, 0 to 1;
    /// `None` without a target case.
    pub overall_cases_dice: Option<f64>,
}

/// Dice of one case's counts. Both sides empty is a Dice of 1: nothing was there, and nothing was
/// found. (The official program never meets this: it scores slices with ground truth alone.)
pub(super) fn dice(counts: &Confusion) -> f64 {
    Overlap::Dice.of(counts, BothEmpty::Perfect).unwrap_or(0.0)
}

/// The sites' scores, from their cases': the source site first, the others as they come.
pub(super) fn by_site(cases: &[CaseScore]) -> Vec<SiteScore> {
    let mut names: Vec<(&str, Role)> = Vec::new();
    for case in cases {
        if !names.iter().any(|(site, _)| *site == case.site) {
            names.push((&case.site, case.role));
        }
    }
    names.sort_by_key(|(_, role)| *role == Role::Target);
    let score = |(site, role): (&str, Role)| {
        let of_site: Vec<&CaseScore> = cases.iter().filter(|c| c.site == site).collect();
        let mut sorted: Vec<f64> = of_site.iter().map(|c| c.dice).collect();
        sorted.sort_by(f64::total_cmp);
        SiteScore {
            site: site.to_owned(),
            role,
            cases: sorted.len(),
            mean_dice: mean(&sorted).unwrap_or(0.0),
            median_dice: median(&sorted).unwrap_or(0.0),
            min_dice: sorted.first().copied().unwrap_or(0.0),
            empty_predictions: of_site.iter().filter(|c| c.predicted_voxels == 0).count(),
        }
    };
    names.into_iter().map(score).collect()
}

/// The mean; `None` of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The median of sorted values; `None` of nothing.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some(0.5 * (lower + upper))
}

impl Evaluation {
    /// The target sites, in their order.
    pub fn targets(&self) -> impl Iterator<Item = &SiteScore> {
        self.sites.iter().filter(|s| s.role == Role::Target)
    }

    /// The source site's held-out cases, where they were scored.
    pub fn source_site(&self) -> Option<&SiteScore> {
        self.sites.iter().find(|s| s.role == Role::SourceValidation)
    }

    /// One line on how the model was prompted and scored.
    pub fn setting(&self) -> String {
        let mode = match (self.mode, self.grid) {
            (Mode::Points, Some(n)) => format!("grid points mode ({n} × {n})"),
            (Mode::Points, None) => "grid points mode".to_owned(),
            (Mode::Box, _) => "whole box mode".to_owned(),
        };
        let side = self.mask_side;
        let voxels = match self.protocol {
            Protocol::Paper => format!("paper protocol: labelled slices at {side} × {side} pixels"),
            Protocol::Full => format!("full protocol: whole volumes, masks of {side} × {side}"),
        };
        format!("{mode}; {voxels}, border {} px", self.border_px)
    }

    /// Sets the sites' and the overall scores from the cases'.
    pub(super) fn summarised(mut self) -> Self {
        self.sites = by_site(&self.cases);
        let sites: Vec<f64> = self.targets().map(|s| s.mean_dice).collect();
        let targets = self.cases.iter().filter(|c| c.role == Role::Target);
        let cases: Vec<f64> = targets.map(|c| c.dice).collect();
        self.overall_dice = mean(&sites);
        self.overall_cases_dice = mean(&cases);
        self
    }
}
