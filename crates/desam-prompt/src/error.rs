//! Errors of prompt samplers and grids.

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of `desam-prompt`. A sampler wraps them in a [`desam_core::Error::External`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A grid without points, or with too many.
    #[error("grid of {found} × {found} points: give a number from 1 to {largest} (the paper: 9)")]
    GridSide {
        /// The requested number of points along a side.
        found: usize,
        /// The limit.
        largest: usize,
    },
    /// An encoder input without pixels.
    #[error("encoder input side {found}: expected a finite number of pixels above 0")]
    InputSide {
        /// The side that was given.
        found: f32,
    },
    /// A mask without pixels, neither foreground nor background.
    #[error("mask of {height} × {width} pixels: there is nothing to draw a point from")]
    NoPixels {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
}

/// Checks a side that coordinates are scaled to.
pub(crate) fn check_side(side: f32) -> Result<()> {
    if side.is_finite() && side > 0.0 { Ok(()) } else { Err(Error::InputSide { found: side }) }
}
