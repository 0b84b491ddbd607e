//! Round trip of labels to a model's masks and back: loss of volume and Dice.

use super::CaseReport;
use crate::preprocess::{LabelRoundTrip, PreprocessConfig, SiteRoundTrip};
use desam_volume::volumes::ReadOptions;
use serde::Serialize;

/// Share of the truth beyond which a border that scoring clears is a warning.
pub const MAX_BORDER_CUT: f64 = 0.005;

/// Options for resampling labels to masks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyOptions {
    /// Preprocessing of volumes to slices.
    pub preprocess: PreprocessConfig,
    /// Side of the masks, in pixels: 256 for SAM's encoders.
    pub mask_side: usize,
    /// Border of the masks that scoring by the paper's protocol clears, in their pixels.
    pub border_px: usize,
    /// Options for reading files.
    #[serde(skip)]
    pub read: ReadOptions,
}

impl Default for VerifyOptions {
    /// The default preprocessing, for SAM's encoders: masks of 256 pixels, of which the official
    /// program clears 50 at each side.
    fn default() -> Self {
        let (preprocess, read) = (PreprocessConfig::paper(), ReadOptions::default());
        Self { preprocess, mask_side: 256, border_px: 50, read }
    }
}

/// Mask check of one case: loss of its labels in the round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MaskCheck {
    /// Loss in the round trip to the masks and back.
    #[serde(flatten)]
    pub round_trip: LabelRoundTrip,
    /// Foreground of the masks, in their pixels.
    pub mask_pixels: u64,
    /// The part of it within the border.
    pub border_pixels: u64,
}

/// Mask check of one site: loss of its labels in the round trip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteMasks {
    /// Loss of the site's labels in the round trip.
    #[serde(flatten)]
    pub round_trip: SiteRoundTrip,
    /// Share of the masks' foreground within the border.
    pub border_share: f64,
}

impl SiteMasks {
    /// Warnings about losses that would make training or scoring misleading.
    pub fn warnings(&self, options: &VerifyOptions) -> Vec<String> {
        let VerifyOptions { preprocess, mask_side, border_px, .. } = options;
        let site = &self.round_trip.site;
        let border = (self.border_share > MAX_BORDER_CUT).then(|| {
            format!(
                "site {site}: {:.1} % of its labels lie within the border of {border_px} of \
                 {mask_side} pixels that the paper's protocol clears in predictions: scores by it \
                 count them as missed; score with a border of 0",
                100.0 * self.border_share
            )
        });
        self.round_trip.warning(preprocess.labels, *mask_side).into_iter().chain(border).collect()
    }
}

pub(super) fn by_site(cases: &[CaseReport]) -> Vec<SiteMasks> {
    let checked = || cases.iter().filter_map(|c| Some((c.site.as_str(), c.masks?)));
    let sites = SiteRoundTrip::by_site(checked().map(|(site, masks)| (site, masks.round_trip)));
    let site = |round_trip: SiteRoundTrip| {
        let own = || checked().filter(|(site, _)| *site == round_trip.site).map(|(_, masks)| masks);
        let all: u64 = own().map(|masks| masks.mask_pixels).sum();
        let border: u64 = own().map(|masks| masks.border_pixels).sum();
        let border_share = if all == 0 { 0.0 } else { border as f64 / all as f64 };
        SiteMasks { round_trip, border_share }
    };
    sites.into_iter().map(site).collect()
}
