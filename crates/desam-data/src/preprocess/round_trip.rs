//! Round-trip loss of labels: to the model's masks and back.

use super::slice_geometry::SliceGeometry;
use super::{LabelRule, PreprocessConfig};
use crate::Result;
use desam_core::{Grid, LabelMask, LabelVolume};
use serde::{Deserialize, Serialize};

/// Loss of Dice on the way to the masks and back above which users are warned: a model that
/// reproduced its training masks perfectly would still lose that much on the volume's own grid.
pub const MAX_ROUND_TRIP_LOSS: f64 = 0.02;

/// Labels of one case beside what is left of them when their `M × M` masks are brought back to the
/// volume's own grid. The upper bound of what a model that is trained on these masks can score
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelRoundTrip {
    /// Foreground voxels of the labels.
    pub label_voxels: u64,
    /// Foreground voxels that come back.
    pub restored_voxels: u64,
    /// Voxels that are foreground in both.
    pub common_voxels: u64,
}

impl LabelRoundTrip {
    /// Compares labels with what came back of them, voxel by voxel.
    pub fn between(labels: &LabelVolume, restored: &LabelVolume) -> Self {
        let mut counts = Self { label_voxels: 0, restored_voxels: 0, common_voxels: 0 };
        for (before, after) in labels.data().iter().zip(restored.data()) {
            let (before, after) = (u64::from(*before > 0), u64::from(*after > 0));
            counts.label_voxels += before;
            counts.restored_voxels += after;
            counts.common_voxels += before * after;
        }
        counts
    }

    /// Dice of labels and what comes back, 0 to 1; 1 where both are empty.
    pub fn dice(&self) -> f64 {
        match self.label_voxels + self.restored_voxels {
            0 => 1.0,
            sum => 2.0 * self.common_voxels as f64 / sum as f64,
        }
    }

    /// Volume that comes back as a share of the labels'; 1 where the labels are empty.
    pub fn volume_ratio(&self) -> f64 {
        match self.label_voxels {
            0 => 1.0,
            labels => self.restored_voxels as f64 / labels as f64,
        }
    }
}

/// Labels as a model is trained on them, and what they lost on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedLabels {
    /// The ground truth of every processed slice, `M × M`.
    pub masks: Vec<LabelMask>,
    /// The same back on the volume's own grid, beside the labels.
    pub round_trip: LabelRoundTrip,
}

impl PreprocessConfig {
    /// Takes labels to masks of side `mask_side` and back, as for an image on `grid`. Images play
    /// no part in it.
    ///
    /// # Errors
    /// When the configuration makes no sense, a volume on `grid` could not be prepared, or the
    /// labels lie on another grid.
    pub fn trace_labels(
        &self,
        grid: &Grid,
        labels: &LabelVolume,
        mask_side: usize,
    ) -> Result<TracedLabels> {
        let geometry = SliceGeometry::new(self, grid, mask_side)?;
        let masks = geometry.labels(labels)?;
        let round_trip = LabelRoundTrip::between(labels, &geometry.restore(&masks)?);
        Ok(TracedLabels { masks, round_trip })
    }
}

/// Round-trip loss of the labels of one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteRoundTrip {
    /// The site.
    pub site: String,
    /// Its cases with foreground.
    pub cases: usize,
    /// Mean over the cases of the Dice of labels and what comes back, 0 to 1.
    pub mean_dice: f64,
    /// The worst case's.
    pub min_dice: f64,
    /// Volume of all cases together that comes back, as a share of the labels'.
    pub volume_ratio: f64,
}

impl SiteRoundTrip {
    /// Sums cases up by site, in the order in which sites come first. Cases without foreground have
    /// nothing to lose and are left out, and so is a site that has no other.
    pub fn by_site<'a>(
        cases: impl IntoIterator<Item = (&'a str, LabelRoundTrip)>,
    ) -> Vec<SiteRoundTrip> {
        let mut groups: Vec<(&str, Vec<LabelRoundTrip>)> = Vec::new();
        for (site, case) in cases.into_iter().filter(|(_, c)| c.label_voxels > 0) {
            match groups.iter_mut().find(|(name, _)| *name == site) {
                Some((_, group)) => group.push(case),
                None => groups.push((site, vec![case])),
            }
        }
        groups.into_iter().map(|(site, cases)| Self::of(site, &cases)).collect()
    }

    fn of(site: &str, cases: &[LabelRoundTrip]) -> Self {
        let dice = || cases.iter().map(LabelRoundTrip::dice);
        let sum = |count: fn(&LabelRoundTrip) -> u64| cases.iter().map(count).sum::<u64>() as f64;
        Self {
            site: site.to_owned(),
            cases: cases.len(),
            mean_dice: dice().sum::<f64>() / cases.len() as f64,
            min_dice: dice().fold(1.0, f64::min),
            volume_ratio: sum(|c| c.restored_voxels) / sum(|c| c.label_voxels),
        }
    }

    /// One line: `Dice 95.8 % (worst 93.1 %), 99.1 % of the volume, 12 cases`.
    pub fn line(&self) -> String {
        let Self { cases, mean_dice, min_dice, volume_ratio, .. } = self;
        let plural = if *cases == 1 { "" } else { "s" };
        format!(
            "Dice {:.1} % (worst {:.1} %), {:.1} % of the volume, {cases} case{plural}",
            100.0 * mean_dice,
            100.0 * min_dice,
            100.0 * volume_ratio
        )
    }

    /// A warning where labels lose more than [`MAX_ROUND_TRIP_LOSS`] on the way to masks of side
    /// `mask_side` by `rule` and back.
    pub fn warning(&self, rule: LabelRule, mask_side: usize) -> Option<String> {
        if 1.0 - self.mean_dice <= MAX_ROUND_TRIP_LOSS {
            return None;
        }
        let advice = match rule {
            LabelRule::Eroded => {
                "the official label rule erodes a mask that is made smaller, and a model learns the \
                 eroded masks: take labels by the nearest pixel unless parity is the aim"
            }
            LabelRule::Nearest => {
                "slices further apart or masks coarser than the volumes lose this much: a finer \
                 spacing, or an encoder with larger masks, keeps more"
            }
        };
        Some(format!(
            "site {}: labels brought to masks of {mask_side} × {mask_side} pixels and back keep \
             {}; that is about the most that a model trained on them can score on whole volumes; \
             {advice}",
            self.site,
            self.line()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(label_voxels: u64, restored_voxels: u64, common_voxels: u64) -> LabelRoundTrip {
        LabelRoundTrip { label_voxels, restored_voxels, common_voxels }
    }

    #[test]
    fn dice_and_volume_are_those_of_the_counts() {
        // By hand: 2 · 60 / (100 + 80).
        let case = trip(100, 80, 60);
        assert!((case.dice() - 120.0 / 180.0).abs() < 1e-12);
        assert_eq!((case.volume_ratio(), trip(0, 0, 0).dice()), (0.8, 1.0));
        assert_eq!((trip(10, 0, 0).dice(), trip(0, 0, 0).volume_ratio()), (0.0, 1.0));
    }

    #[test]
    fn sites_are_means_of_their_cases_and_warn_above_two_per_cent() {
        let cases = [
            ("B", trip(100, 100, 98)),
            ("A", trip(100, 50, 50)),
            ("B", trip(300, 300, 300)),
            ("C", trip(0, 0, 0)),
        ];
        let sites = SiteRoundTrip::by_site(cases);
        // By hand: B's Dice are 0.98 and 1; A's is 100 / 150; C has nothing to lose.
        let names: Vec<_> = sites.iter().map(|s| (s.site.as_str(), s.cases)).collect();
        assert_eq!(names, [("B", 2), ("A", 1)]);
        assert!((sites[0].mean_dice - 0.99).abs() < 1e-12);
        assert_eq!((sites[0].min_dice, sites[0].volume_ratio), (0.98, 1.0));
        assert_eq!(sites[0].line(), "Dice 99.0 % (worst 98.0 %), 100.0 % of the volume, 2 cases");
        assert_eq!(sites[0].warning(LabelRule::Eroded, 64), None);
        let warning = sites[1].warning(LabelRule::Eroded, 64).unwrap();
        for part in ["site A:", "64 × 64", "66.7 %", "50.0 % of the volume", "1 case;", "erodes"] {
            assert!(warning.contains(part), "{part}: {warning}");
        }
        assert!(!sites[1].warning(LabelRule::Nearest, 64).unwrap().contains("erodes"));
    }
}
