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
        /// The accepted values.
        expected: &'static str,
        /// The given value.
        found: f64,
    },
    /// Shapes of prediction and target that differ.
    #[error("{what}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// The tensor or quantity that was checked.
        what: &'static str,
        /// The expected shape.
        expected: Vec<usize>,
        /// The given shape.
        found: Vec<usize>,
    },
    /// A batch without a single mask pixel or prompt.
    #[error("{what}: shape {found:?} holds nothing to compare; give at least one prompt")]
    Empty {
        /// The tensor or quantity that was checked.
        what: &'static str,
        /// The given shape.
        found: Vec<usize>,
    },
    /// Types of prediction and target that differ. An implicit cast would hide where the graph changes its
    /// precision.
    #[cfg(feature = "tensor")]
    #[error("{what}: expected {expected:?}, found {found:?}; convert it with `to_dtype`")]
    Type {
        /// The tensor or quantity that was checked.
        what: &'static str,
        /// The prediction's type.
        expected: candle_core::DType,
        /// The target's type.
        found: candle_core::DType,
    },
    /// An IoU term in the loss, without a target from the prompt sampler of this mode.
    #[error(
        "the loss has an IoU term `{term}` but the target has no IoU; \
         use a sampler with IoU targets (grid points mode) or a loss without `iou` (whole box mode)"
    )]
    MissingIouTarget {
        /// The term, by its name in the configuration.
        term: &'static str,
    },
    /// A mask that does not fill its grid.
    #[error(
        "{what}: {found} voxels do not fill a grid of {expected:?} ([z, y, x]); \
         give one value per voxel, and at least one voxel"
    )]
    Voxels {
        /// The mask: `prediction` or `truth`.
        what: &'static str,
        /// Voxels along `[z, y, x]`.
        expected: [usize; 3],
        /// Number of given values.
        found: usize,
    },
    /// A voxel spacing out of range.
    #[error("spacing {found:?} ([z, y, x]): give millimetres, between 1e-6 and 1e6")]
    Spacing {
        /// The given spacing along `[z, y, x]`.
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
        /// The value or setting, in words.
        what: &'static str,
        /// The given value.
        found: String,
        /// The accepted values.
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
