//! Errors of losses, metrics and statistics.

use desam_core::text::nearest;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of `desam-metrics`. A loss wraps them in a `candle_core::Error`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A loss configuration that cannot train anything.
    #[error("loss configuration: `{field}` is {found}; set it to {expected}")]
    Config {
        /// The field, as it is written in the configuration.
        field: &'static str,
        /// What fits.
        expected: &'static str,
        /// What was given.
        found: f64,
    },
    /// Shapes of prediction and target that differ.
    #[error("{what}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// What was being checked.
        what: &'static str,
        /// The shape that fits.
        expected: Vec<usize>,
        /// The one that was given.
        found: Vec<usize>,
    },
    /// A batch without a single mask pixel or prompt.
    #[error("{what}: shape {found:?} holds nothing to compare; give at least one prompt")]
    Empty {
        /// What was being checked.
        what: &'static str,
        /// The shape that was given.
        found: Vec<usize>,
    },
    /// Types of prediction and target that differ. An implicit cast would hide where the graph changes its
    /// precision.
    #[cfg(feature = "tensor")]
    #[error("{what}: expected {expected:?}, found {found:?}; convert it with `to_dtype`")]
    Type {
        /// What was being checked.
        what: &'static str,
        /// The prediction's type.
        expected: candle_core::DType,
        /// The target's.
        found: candle_core::DType,
    },
    /// The IoU term needs a target that the prompt sampler of this mode does not give.
    #[error(
        "the loss has an IoU term `{term}` but the target has no IoU; \
         use a sampler with IoU targets (grid points mode) or a loss without `iou` (whole box mode)"
    )]
    MissingIouTarget {
        /// The term that needs it.
        term: &'static str,
    },
    /// A mask that does not fill its grid.
    #[error(
        "{what}: {found} voxels do not fill a grid of {expected:?} ([z, y, x]); \
         give one value per voxel, and at least one voxel"
    )]
    Voxels {
        /// Which mask.
        what: &'static str,
        /// Voxels along `[z, y, x]`.
        expected: [usize; 3],
        /// How many values were given.
        found: usize,
    },
    /// A voxel spacing out of range.
    #[error("spacing {found:?} ([z, y, x]): give millimetres, between 1e-6 and 1e6")]
    Spacing {
        /// What was given, along `[z, y, x]`.
        found: [f64; 3],
    },
    /// An unknown name of a metric.
    #[error(
        "unknown metric {found:?}; expected one of {known} or, with any tolerance from 0 to 1000 mm, \
         surface_dice_3mm{}",
        meant(found, known)
    )]
    UnknownMetric {
        /// The unknown name.
        found: String,
        /// The known names.
        known: String,
    },
    /// A value or setting that a statistic is not defined for.
    #[error("{what}: found {found}, expected {expected}")]
    Statistics {
        /// The value or setting.
        what: &'static str,
        /// What was given.
        found: String,
        /// What fits.
        expected: &'static str,
    },
    /// An error of `desam-core`.
    #[error(transparent)]
    Core(#[from] desam_core::Error),
}

/// "Did you mean" suggestion for a metric's name, compared without units.
fn meant(found: &str, known: &str) -> String {
    let known = known.split(", ").map(|name| name.trim_end_matches("_mm").trim_end_matches("_ml"));
    let typed = found.trim_end_matches("_mm").trim_end_matches("_ml");
    nearest(typed, known).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}
