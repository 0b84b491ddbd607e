//! Voxel spacing of a model's masks.

use super::PreprocessConfig;
use super::slice_geometry::SliceGeometry;
use crate::Result;
use desam_core::Grid;

impl PreprocessConfig {
    /// Spacing of the `M × M` masks of a volume on `grid`, along columns, rows and slices, in mm:
    /// what a processed slice covers, shared out among `mask_side` pixels, and the distance from
    /// one processed slice to the next. A slice that is stretched to a square has pixels that are
    /// none. Oblique volumes keep their own lengths; only the order of the axes changes.
    ///
    /// # Errors
    /// When the configuration makes no sense, or the volume could not be prepared either.
    pub fn mask_spacing(&self, grid: &Grid, mask_side: usize) -> Result<[f64; 3]> {
        let geometry = SliceGeometry::new(self, grid, mask_side)?;
        let [columns, rows, _] = geometry.axes();
        let own = geometry.order().grid(grid).spacing();
        let [x, y, z] = self.spacing_mm.unwrap_or(own);
        let across = |pixels: usize, mm: f64| pixels as f64 * mm / mask_side as f64;
        Ok([across(columns.frame, x), across(rows.frame, y), z])
    }

    /// Spacing of a volume on `grid` before it is resampled, along the columns, rows and slices that it is
    /// cut into, in mm.
    pub fn slice_spacing(&self, grid: &Grid) -> [f64; 3] {
        self.orientation.order(&grid.affine).grid(grid).spacing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam_core::Affine;

    #[test]
    fn a_stretched_slice_shares_its_extent() {
        // By hand: 384 voxels of 0.5 mm on 256 pixels are 0.75 mm each, 320 of 0.6 mm also.
        let grid = Grid { dims: [384, 320, 20], affine: Affine::from_spacing([0.5, 0.6, 3.6]) };
        let found = PreprocessConfig::official().stored().mask_spacing(&grid, 256).unwrap();
        assert_eq!(found, [0.75, 0.75, 3.6]);
    }

    #[test]
    fn a_crop_has_the_spacing_it_was_resampled_to() {
        // By hand: 288 pixels of 0.625 mm are 180 mm, on 256 pixels 0.703125 mm each.
        let grid = Grid { dims: [384, 320, 20], affine: Affine::from_spacing([0.5, 0.6, 3.0]) };
        let found = PreprocessConfig::paper().mask_spacing(&grid, 256).unwrap();
        assert_eq!(found, [0.703125, 0.703125, 3.6]);
    }

    #[test]
    fn axes_are_those_of_the_slices() {
        // Stored sagittally: i to the back, j to the feet, k to the right, 0.5, 0.8 and 3 mm. Axial
        // slices have k along columns, i along rows: 32 · 3 / 64 and 128 · 0.5 / 64 mm.
        let affine = Affine([[0.0, 0.0, 3.0, 0.0], [-0.5, 0.0, 0.0, 0.0], [0.0, -0.8, 0.0, 0.0]]);
        let grid = Grid { dims: [128, 96, 32], affine };
        let found = PreprocessConfig::official().mask_spacing(&grid, 64).unwrap();
        assert_eq!(found, [1.5, 1.0, 0.8]);
    }

    #[test]
    fn what_cannot_be_prepared_has_no_spacing() {
        let none = Grid { dims: [4, 4, 4], affine: Affine([[0.0; 4]; 3]) };
        assert!(PreprocessConfig::paper().mask_spacing(&none, 64).is_err());
        let empty = Grid { dims: [4, 0, 4], affine: Affine::from_spacing([1.0; 3]) };
        assert!(PreprocessConfig::official().mask_spacing(&empty, 64).is_err());
    }
}
