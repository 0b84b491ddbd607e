//! Predicted and true mask of a case, on one voxel grid.

use crate::{Error, Result};
use desam_core::Grid;

/// Range of spacings, in mm, within which squared distances keep their precision; all images' are.
const SPACINGS: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// Dimensions and spacing of a voxel grid, axes in storage order: `x` (or `i`) is the fastest and
/// the last.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoxelGrid {
    /// Voxels along `[z, y, x]`.
    pub shape: [usize; 3],
    /// Voxel spacing along `[z, y, x]`, mm.
    pub spacing_mm: [f64; 3],
}

impl VoxelGrid {
    /// Number of voxels; `None` where it overflows.
    pub fn voxels(&self) -> Option<usize> {
        let [z, y, x] = self.shape;
        z.checked_mul(y)?.checked_mul(x)
    }

    /// Volume of a voxel, in ml.
    pub fn voxel_ml(&self) -> f64 {
        self.spacing_mm.iter().product::<f64>() / 1000.0
    }

    /// Length of the volume's diagonal, in mm: an upper bound on the distance of two voxels.
    pub fn diagonal_mm(&self) -> f64 {
        let sides = self.shape.iter().zip(self.spacing_mm).map(|(n, s)| *n as f64 * s);
        sides.map(|side| side * side).sum::<f64>().sqrt()
    }
}

impl From<&Grid> for VoxelGrid {
    /// Converts the grid of a volume, whose axes are in the reverse order.
    fn from(grid: &Grid) -> Self {
        let ([i, j, k], [x, y, z]) = (grid.dims, grid.spacing());
        Self { shape: [k, j, i], spacing_mm: [z, y, x] }
    }
}

/// A predicted mask and the true mask on one grid, foreground above zero.
#[derive(Debug, Clone, Copy)]
pub struct MaskPair<'a> {
    prediction: &'a [u8],
    truth: &'a [u8],
    grid: VoxelGrid,
}

impl<'a> MaskPair<'a> {
    /// A pair of masks `[z, y, x]`, `x` fastest.
    ///
    /// # Errors
    /// When the grid has no voxel or another number than the masks, or its spacing is out of range.
    pub fn new(prediction: &'a [u8], truth: &'a [u8], grid: VoxelGrid) -> Result<Self> {
        if !grid.spacing_mm.iter().all(|s| SPACINGS.contains(s)) {
            return Err(Error::Spacing { found: grid.spacing_mm });
        }
        for (what, mask) in [("prediction", prediction), ("truth", truth)] {
            if grid.voxels() != Some(mask.len()) || mask.is_empty() {
                let (expected, found) = (grid.shape, mask.len());
                return Err(Error::Voxels { what, expected, found });
            }
        }
        Ok(Self { prediction, truth, grid })
    }

    /// The predicted mask.
    pub fn prediction(&self) -> &'a [u8] {
        self.prediction
    }

    /// The true mask.
    pub fn truth(&self) -> &'a [u8] {
        self.truth
    }

    /// The voxel grid.
    pub fn grid(&self) -> &VoxelGrid {
        &self.grid
    }
}
