//! Metrics of a whole case, by name.

use super::Overlap;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A metric of a case whose masks are at hand whole. Written and read as its name, which says the
/// unit: `dice`, `hd95_mm`, `surface_dice_3mm`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum CaseMetric {
    /// Voxels in common.
    Overlap(Overlap),
    /// Hausdorff distance: the largest distance, in mm, of a surface voxel of either mask to the
    /// nearest one of the other, as medpy's `hd`. A surface voxel is one of foreground with
    /// background among its six neighbours; outside the volume all is background.
    Hausdorff,
    /// The 95th percentile of those distances, both ways taken together, in mm, as medpy's `hd95`.
    Hausdorff95,
    /// Mean distance of the prediction's surface voxels to the truth's, in mm, as medpy's `asd`.
    /// The one distance that is not symmetric: false islands cost much, missed ones nothing.
    AverageDistance,
    /// Mean of the distances both ways taken together, in mm, as the `assd` of medpy 0.5.
    AverageSymmetricDistance,
    /// The share of both surfaces' area that lies within a tolerance of the other surface, 0 to 1,
    /// as in surface-distance (Nikolov et al. 2018): surfaces run between voxel centres and their
    /// elements are weighted by area.
    SurfaceDice {
        /// What still counts as agreement, in mm, itself included.
        tolerance_mm: f64,
    },
    /// The larger one of the two distances within which 95 % of a surface's area lies, in mm, as
    /// in surface-distance.
    RobustHausdorff95,
    /// Predicted volume less the true one, in ml.
    VolumeError,
    /// The same as a share of the true volume, as medpy's `ravd`.
    RelativeVolumeError,
}

/// Names without parameters.
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

/// The largest tolerance of a surface Dice: beyond it all surfaces of a body agree.
const MOST_TOLERANCE_MM: f64 = 1000.0;

/// Tolerances, in mm, that [`CaseMetric::all`] asks for.
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

    /// From a name as it is typed: its own, or that with `-` for `_`, without its unit where it has
    /// one (`hd95`, `assd`, `volume-error`), and `surface-dice@1` for `surface_dice_1mm`.
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

    /// Whether it says nothing without the distances between voxels.
    pub fn needs_spacing(&self) -> bool {
        !matches!(self, Self::Overlap(_) | Self::RelativeVolumeError)
    }

    /// The worse of two values: the lower one where higher is better, else the one further from 0
    /// (volume errors have a sign).
    pub fn worse(&self, a: f64, b: f64) -> f64 {
        match self.higher_is_better() {
            true => a.min(b),
            false if b.abs() > a.abs() => b,
            false => a,
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

    /// From its name.
    ///
    /// # Errors
    /// When no metric has this name, or a tolerance is none.
    fn from_str(name: &str) -> Result<Self> {
        if let Some((_, metric)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Ok(*metric);
        }
        let tolerance = name.strip_prefix("surface_dice_").and_then(|n| n.strip_suffix("mm"));
        match tolerance.and_then(|t| t.parse::<f64>().ok()) {
            Some(tolerance_mm) if (0.0..=MOST_TOLERANCE_MM).contains(&tolerance_mm) => {
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
