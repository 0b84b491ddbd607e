//! Gray-scale images of single slices.

use crate::{Error, Result};
use desam_core::{Affine, Grid, Volume};

/// A gray-scale image of one slice, columns to the patient's left and rows to the back, as axial
/// images are shown. Any intensities: preprocessing maps their percentiles to the encoder's range.
#[derive(Debug, Clone, PartialEq)]
pub struct GraySlice {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) spacing_mm: [f64; 2],
    pub(super) pixels: Vec<f32>,
}

impl GraySlice {
    /// An image from its pixels, row by row, and the distances between columns and between rows in
    /// mm.
    ///
    /// # Errors
    /// [`Error::Core`] when there are not `width × height` pixels, and [`Error::Spacing`] when a distance
    /// is not positive and finite.
    pub fn new(
        width: usize,
        height: usize,
        spacing_mm: [f64; 2],
        pixels: Vec<f32>,
    ) -> Result<Self> {
        if width.checked_mul(height) != Some(pixels.len()) {
            let found = pixels.len();
            return Err(desam_core::Error::shape("pixels", (height, width), found).into());
        }
        if !spacing_mm.iter().all(|mm| mm.is_finite() && *mm > 0.0) {
            return Err(Error::Spacing { found: spacing_mm });
        }
        Ok(Self { width, height, spacing_mm, pixels })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Distances between columns and between rows, in mm.
    pub fn spacing_mm(&self) -> [f64; 2] {
        self.spacing_mm
    }

    /// The pixels, row by row.
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// A volume of this one slice, stored as scanners do (LPS), so that any orientation keeps it.
    pub(super) fn to_volume(&self, thickness_mm: f64) -> Result<Volume> {
        let [column_mm, row_mm] = self.spacing_mm;
        let affine = Affine([
            [-column_mm, 0.0, 0.0, 0.0],
            [0.0, -row_mm, 0.0, 0.0],
            [0.0, 0.0, thickness_mm, 0.0],
        ]);
        let grid = Grid { dims: [self.width, self.height, 1], affine };
        Ok(Volume::new(grid, self.pixels.clone())?)
    }
}
