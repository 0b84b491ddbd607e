//! Strips: groups of image rows that are one task each.

use super::source::{ImageDims, Window};
use std::ops::Range;

/// Consecutive rows of one image, with the margins that a window needs, in a buffer.
#[derive(Debug, Clone)]
pub(super) struct Strip {
    pub(super) image: usize,
    /// Output rows.
    pub(super) rows: Range<usize>,
    pub(super) window: Window,
}

impl Strip {
    /// All images cut into strips of at most `rows` output rows, image by image.
    pub(super) fn all(dims: ImageDims, window: Window, rows: usize) -> Vec<Self> {
        let of_image = |image| {
            let starts = (0..dims.height).step_by(rows);
            starts.map(move |y| Self { image, rows: y..(y + rows).min(dims.height), window })
        };
        (0..dims.images).flat_map(of_image).collect()
    }

    /// Rows in the buffer, margins included.
    pub(super) fn height(&self) -> usize {
        self.rows.len() + 2 * self.window.margin()
    }

    /// The image's row that buffer row `y` holds, unless it is padding beyond the image.
    pub(super) fn source_row(&self, y: usize, planes: ImageDims) -> Option<usize> {
        let row = (self.rows.start + y).checked_sub(self.window.margin())?;
        (row < planes.height).then_some(row)
    }
}
