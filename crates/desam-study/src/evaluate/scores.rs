//! The result of an evaluation.

use super::border::MAX_BORDER_CUT;
use super::{
    BorderCut, ByMetric, CaseScore, ClassSummary, GroundTruthKind, MetricSummary, OverallClass,
    OverallSummary, Protocol, Role, UnscoredCase,
};
use desam::model::SourceSites;
use desam::select::SelectionConfig;
use desam::{Mode, PresenceRule};
use desam_core::{ClassTable, Precision};
use desam_data::preprocess::Interpolation;
use desam_metrics::metric::{CaseMetric, EmptyPolicy};
use desam_metrics::statistics::BootstrapConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Summary of the scores of one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteScore {
    /// The site.
    pub site: String,
    /// The role of its cases.
    pub role: Role,
    /// Scored cases.
    pub cases: usize,
    /// Mean Dice over its cases, 0 to 1.
    pub mean_dice: f64,
    /// Median Dice, 0 to 1; the midpoint of the two middle values for an even number.
    pub median_dice: f64,
    /// The worst case's Dice, 0 to 1.
    pub min_dice: f64,
    /// Cases with an empty prediction, each a Dice of 0 in the mean.
    pub empty_predictions: usize,
    /// Ground truth of its cases within the zeroed border; present where there is a border.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub border: Option<BorderCut>,
    /// The summary of each requested metric.
    #[serde(default)]
    pub metrics: ByMetric<MetricSummary>,
    /// The same of each class of a model of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassSummary>,
}

/// All scores of one model, the result of [`evaluate`](super::evaluate).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Evaluation {
    /// The site the model was trained on.
    pub source: SourceSites,
    /// The prompting mode.
    pub mode: Mode,
    /// Points along each side of the grid; `None` in whole box mode.
    pub grid: Option<usize>,
    /// The mask selection rule.
    pub selection: SelectionConfig,
    /// The scoring protocol.
    pub protocol: Protocol,
    /// The ground truth; `None` in files from before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<GroundTruthKind>,
    /// Border of the predicted masks that was set to zero, in pixels of side `mask_side`.
    pub border_px: usize,
    /// Ground truth of all scored cases within that border; present where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub border: Option<BorderCut>,
    /// Side `M` of the masks, in pixels.
    pub mask_side: usize,
    /// The scored cases, by site, then in the cache's order.
    pub cases: Vec<CaseScore>,
    /// The cases that could not be scored.
    pub unscored: Vec<UnscoredCase>,
    /// Every site with a scored case, the source site first.
    pub sites: Vec<SiteScore>,
    /// Mean of the target sites' means, 0 to 1; `None` without a target site.
    pub overall_dice: Option<f64>,
    /// Mean over all cases of the target sites, as the official program reports it, 0 to 1;
    /// `None` without a target case.
    pub overall_cases_dice: Option<f64>,
    /// The metrics, Dice first.
    #[serde(default = "dice_alone")]
    pub metrics: Vec<CaseMetric>,
    /// Treatment of empty masks.
    #[serde(default)]
    pub empty_policy: EmptyPolicy,
    /// The summary of each metric over the target sites; empty without a target case.
    #[serde(default)]
    pub overall: ByMetric<OverallSummary>,
    /// The same of each class of a model of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overall_classes: Vec<OverallClass>,
    /// The classes that the model tells apart; one foreground in older files.
    #[serde(default, skip_serializing_if = "ClassTable::is_foreground")]
    pub classes: ClassTable,
    /// Bootstrap of the intervals, where they were computed.
    #[serde(default)]
    pub bootstrap: Option<BootstrapConfig>,
    /// The feature cache, where the caller recorded it. The scores do not depend on its path.
    #[serde(default, with = "desam_core::serde_path")]
    pub cache: Option<PathBuf>,
    /// Predicted IoU that a slice needed for a mask in whole box mode; `None`: every slice got one. In
    /// grid points mode it is in `selection`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_threshold: Option<f32>,
    /// How slices without the structure were recognised; each alone in older files.
    #[serde(default, skip_serializing_if = "PresenceRule::is_slice")]
    pub presence_rule: PresenceRule,
    /// Interpolation of masks on the volume's own grid, under the full protocol; the nearest pixel in
    /// files from before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_interpolation: Option<Interpolation>,
    /// Whether the intensities of each volume were matched to those of the training volumes.
    #[serde(default)]
    pub match_source: bool,
    /// Compute precision of the model; f32 where it is absent.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
}

/// The metrics of files from before they were selectable.
fn dice_alone() -> Vec<CaseMetric> {
    vec![CaseMetric::DICE]
}

impl Evaluation {
    /// The target sites, in their order.
    pub fn targets(&self) -> impl Iterator<Item = &SiteScore> {
        self.sites.iter().filter(|s| s.role == Role::Target)
    }

    /// The source sites' held-out cases, where they were scored.
    pub fn source_sites(&self) -> impl Iterator<Item = &SiteScore> {
        self.sites.iter().filter(|s| s.role == Role::SourceValidation)
    }

    /// The prompting and scoring settings in one line.
    pub fn setting(&self) -> String {
        let mode = match (self.mode, self.grid) {
            (Mode::Points, Some(n)) => format!("grid points mode ({n} × {n})"),
            (Mode::Points, None) => "grid points mode".to_owned(),
            (Mode::Box, _) => "whole box mode".to_owned(),
        };
        let side = self.mask_side;
        let interpolation = match self.mask_interpolation {
            Some(Interpolation::Linear) => "; logits interpolated linearly to the volumes' grids",
            Some(Interpolation::Nearest) | None => "",
        };
        let voxels = match self.protocol {
            Protocol::Paper => format!("paper protocol: labelled slices at {side} × {side} pixels"),
            Protocol::Native => format!(
                "native protocol: slices with ground truth on the volumes' own grids, masks of {side} \
                 × {side}"
            ),
            Protocol::Full => {
                format!("full protocol: whole volumes, masks of {side} × {side}")
            }
        };
        let classes = if self.classes.is_foreground() {
            String::new()
        } else {
            format!("; classes {}", self.classes)
        };
        let products = match self.precision {
            Precision::F32 => String::new(),
            other => format!("; products in {other}"),
        };
        let presence = match (self.presence_rule, self.presence_threshold) {
            (PresenceRule::Contiguous, _) if self.protocol.on_volume_grid() => {
                "; masks on one run of slices".to_owned()
            }
            (PresenceRule::Slice, Some(threshold)) => {
                format!("; masks where the predicted IoU is above {threshold:.3}")
            }
            _ => String::new(),
        };
        let truth = self.truth.map_or_else(String::new, |truth| format!(" against {truth}"));
        let intensities =
            if self.match_source { "; intensities matched to the source's" } else { "" };
        format!(
            "{mode}; {voxels}{truth}, border {} px{classes}{interpolation}{presence}{intensities}{products}",
            self.border_px
        )
    }

    /// The share of the ground truth within the border, in one line: overall, then by site. `None` where
    /// there is no border, or it was not recorded.
    pub(crate) fn border_line(&self) -> Option<String> {
        let cut = self.border?;
        let percent = |cut: BorderCut| format!("{:.1} %", 100.0 * cut.share);
        let sites = self.sites.iter();
        let sites = sites.filter_map(|s| Some(format!("{} {}", s.site, percent(s.border?))));
        Some(format!(
            "the border of {} of {} pixels at each side, where predictions are cleared, holds {} of \
             the truth ({})",
            self.border_px,
            self.mask_side,
            percent(cut),
            sites.collect::<Vec<_>>().join(", ")
        ))
    }

    /// A warning where that share is above half a per cent, overall or at a site.
    pub(super) fn border_warning(&self) -> Option<String> {
        let cuts = self.sites.iter().map(|s| s.border).chain([self.border]);
        let worst = cuts.flatten().map(|cut| cut.share).fold(0.0, f64::max);
        let line = self.border_line().filter(|_| worst > MAX_BORDER_CUT)?;
        Some(format!(
            "{line}: that part counts as missed whatever the model finds; the rule is made for organs \
             in the middle of the image, and a border of 0 scores all of it"
        ))
    }

    /// A warning where cases are unlike those that the model was trained on, with the first as an example.
    pub(crate) fn range_warning(&self) -> Option<String> {
        let unlike = || self.cases.iter().filter(|case| !case.warnings.is_empty());
        let first = unlike().next()?;
        let (count, all) = (unlike().count(), self.cases.len());
        let (site, case, why) = (&first.site, &first.case, first.warnings.join("; "));
        Some(format!(
            "in {count} of {all} cases the prediction or the spacing is unlike the training cases, such as {site}/{case}: \
             {why}"
        ))
    }
}
