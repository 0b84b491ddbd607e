//! Errors of mask selection.

/// Errors of mask selection.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// A threshold out of range.
    #[error("selection: `{field}` is {found}; set it to {expected}")]
    Config {
        /// The field, as it is written in the configuration.
        field: &'static str,
        /// The accepted values.
        expected: &'static str,
        /// The given value.
        found: f64,
    },
    /// Sides between which masks cannot be resized.
    #[error(
        "selection: logits of side {mask_side}, encoder input of side {input_side} and an image \
         of {image_height} × {image_width} pixels do not fit; each must be 1 to {largest}, and \
         the image's short side at least one pixel of the input"
    )]
    Geometry {
        /// Side of the logits.
        mask_side: usize,
        /// Side of the encoder's input.
        input_side: usize,
        /// Rows of the image.
        image_height: usize,
        /// Columns of the image.
        image_width: usize,
        /// The largest side.
        largest: usize,
    },
    /// A candidate whose logits are not `M × M`.
    #[error("selection: candidate {candidate} has {found} logits, expected {expected}")]
    Logits {
        /// Index of the candidate, from 0.
        candidate: usize,
        /// Number of logits by the geometry.
        expected: usize,
        /// Number of given logits.
        found: usize,
    },
}
