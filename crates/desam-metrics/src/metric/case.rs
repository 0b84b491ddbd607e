//! Metrics of a whole case, and their names.

use super::Overlap;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A metric of a whole case. Serialized as its name, which includes the unit: `dice`, `hd95_mm`, `surface_dice_3mm`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum CaseMetric {
    /// A measure of overlap: Dice, Jaccard, precision or recall.
    Overlap(Overlap),
    /// Hausdorff distance: the largest distance, in mm, of a surface voxel of either mask to the
    /// nearest one of the other, medpy's `hd`. A surface voxel is one of foreground with
    /// background among its six neighbours; outside the volume all is background.
    Hausdorff,
    /// HD95: the 95th percentile of those distances, both directions pooled, in mm, medpy's `hd95`.
    Hausdorff95,
    /// Average surface distance (ASD): mean distance of the prediction's surface voxels to the truth's,
    /// in mm, medpy's `asd`. The only asymmetric distance: false positive islands cost much, missed
    /// ones nothing.
    AverageDistance,
    /// Average symmetric surface distance (ASSD): mean of the distances of both directions pooled, in mm,
    /// the `assd` of medpy 0.5.
    AverageSymmetricDistance,
    /// Surface Dice (normalised surface Dice, NSD): the fraction of both surfaces' area within a
    /// tolerance of the other surface, 0 to 1, as in surface-distance (Nikolov et al. 2018): surfaces
    /// run between voxel centres and their elements are weighted by area.
    SurfaceDice {
        /// The tolerance, in mm, inclusive.
        tolerance_mm: f64,
    },
    /// Robust HD95: the larger of the two distances within which 95 % of a surface's area lies, in mm, as
    /// in surface-distance.
    RobustHausdorff95,
    /// Volume error: predicted minus true volume, in ml.
    VolumeError,
    /// Relative volume error: the volume error divided by the true volume, medpy's `ravd`.
    RelativeVolumeError,
}

/// Names of the metrics without parameters.
const NAMED: [(&str, CaseMetric); 11] = [
    ("dice", CaseMetric::Overlap(Overlap::Dice)),
    ("jaccard", CaseMetric::Overlap(Overlap::Jaccard)),
    ("precision", CaseMetric::Overlap(Overlap::Precision)),
    ("recall", CaseMetric::Overlap(Overlap::Recall)),
    ("hd_mm", CaseMetric::Hausdorff),
    ("hd95_mm", CaseMetric::Hausdorff95),
    ("asd_mm", CaseMetric::AverageDistance),
    ("assd_mm", CaseMetric::AverageSymmetricDistance),
    ("robust_hd95_mm", CaseMetric::RobustHausdorff95),
    ("volume_error_ml", CaseMetric::VolumeError),
    ("relative_volume_error", CaseMetric::RelativeVolumeError),
];

/// Limit on the tolerance of surface Dice, larger than a body.
const MAX_TOLERANCE_MM: f64 = 1000.0;

/// Tolerances of surface Dice in [`CaseMetric::all`], mm.
const TOLERANCES_MM: [f64; 3] = [1.0, 2.0, 3.0];

impl CaseMetric {
    /// Dice.
    pub const DICE: Self = Self::Overlap(Overlap::Dice);

    /// Every metric; surface Dice at 1, 2 and 3 mm.
    pub fn all() -> Vec<Self> {
        let named = NAMED.iter().map(|(_, metric)| *metric);
        let surface = TOLERANCES_MM.map(|tolerance_mm| Self::SurfaceDice { tolerance_mm });
        named.chain(surface).collect()
    }

    /// Parses a name leniently: also with `-` for `_`, without the unit (`hd95`, `assd`,
    /// `volume-error`), and `surface-dice@1` for `surface_dice_1mm`.
    ///
    /// # Errors
    /// As [`from_str`](std::str::FromStr::from_str).
    pub fn from_typed(name: &str) -> Result<Self> {
        let typed = name.trim().to_ascii_lowercase().replace('-', "_");
        let surface = typed.strip_prefix("surface_dice@").map(|t| t.trim_end_matches("mm"));
        if let Some(tolerance) = surface {
            return format!("surface_dice_{tolerance}mm").parse();
        }
        let whole = ["", "_mm", "_ml"].map(|unit| format!("{typed}{unit}"));
        let found = NAMED.iter().find(|(known, _)| whole.iter().any(|w| w == known));
        found.map_or_else(|| typed.parse(), |(_, metric)| Ok(*metric))
    }

    /// Whether it depends on the voxel spacing.
    pub fn needs_spacing(&self) -> bool {
        !matches!(self, Self::Overlap(_) | Self::RelativeVolumeError)
    }

    /// The worse of two values: the lower where higher is better, else the one with the larger magnitude
    /// (volume errors are signed).
    pub fn worse(&self, a: f64, b: f64) -> f64 {
        if self.higher_is_better() {
            a.min(b)
        } else if b.abs() > a.abs() {
            b
        } else {
            a
        }
    }

    /// Whether the score of a perfect prediction is 1 rather than 0.
    pub fn higher_is_better(&self) -> bool {
        matches!(self, Self::Overlap(_) | Self::SurfaceDice { .. })
    }
}

impl std::fmt::Display for CaseMetric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Self::SurfaceDice { tolerance_mm } = self {
            return write!(f, "surface_dice_{tolerance_mm}mm");
        }
        let named = NAMED.iter().find(|(_, metric)| metric == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

impl std::str::FromStr for CaseMetric {
    type Err = Error;

    /// Parses a metric's name.
    ///
    /// # Errors
    /// When no metric has this name, or a tolerance is out of range.
    fn from_str(name: &str) -> Result<Self> {
        if let Some((_, metric)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Ok(*metric);
        }
        let tolerance = name.strip_prefix("surface_dice_").and_then(|n| n.strip_suffix("mm"));
        match tolerance.and_then(|t| t.parse::<f64>().ok()) {
            Some(tolerance_mm) if (0.0..=MAX_TOLERANCE_MM).contains(&tolerance_mm) => {
                Ok(Self::SurfaceDice { tolerance_mm })
            }
            _ => Err(Error::UnknownMetric {
                found: name.to_owned(),
                known: NAMED.map(|(name, _)| name).join(", "),
            }),
        }
    }
}

impl TryFrom<String> for CaseMetric {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<CaseMetric> for String {
    fn from(metric: CaseMetric) -> Self {
        metric.to_string()
    }
}
