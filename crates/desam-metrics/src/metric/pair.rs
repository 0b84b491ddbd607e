//! What a prediction and its truth look like when all of a case is at hand.

use crate::{Error, Result};
use desam_core::Grid;

/// Spacings, in mm, beyond which squares of distances would lose their digits; no image has them.
const SPACINGS: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// Voxels and what lies between them, axes in the order of storage: `x` (or `i`) is the fastest and
/// the last.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoxelGrid {
    /// Voxels along `[z, y, x]`.
    pub shape: [usize; 3],
    /// From one voxel's centre to the next one's along `[z, y, x]`, in mm.
    pub spacing_mm: [f64; 3],
}

impl VoxelGrid {
    /// Number of voxels; `None` where that is no number this machine has.
    pub fn voxels(&self) -> Option<usize> {
        let [z, y, x] = self.shape;
        z.checked_mul(y)?.checked_mul(x)
    }

    /// Volume of a voxel, in ml.
    pub fn voxel_ml(&self) -> f64 {
        self.spacing_mm.iter().product::<f64>() / 1000.0
    }

    /// From one corner of the volume to the opposite one, in mm: further apart than any two voxels.
    pub fn diagonal_mm(&self) -> f64 {
        let sides = self.shape.iter().zip(self.spacing_mm).map(|(n, s)| *n as f64 * s);
        sides.map(|side| side * side).sum::<f64>().sqrt()
    }
}

impl From<&Grid> for VoxelGrid {
    /// The grid of a volume, whose axes are named in the other order.
    fn from(grid: &Grid) -> Self {
        let ([i, j, k], [x, y, z]) = (grid.dims, grid.spacing());
        Self { shape: [k, j, i], spacing_mm: [z, y, x] }
    }
}

/// A prediction and its truth on one grid, foreground above zero.
#[derive(Debug, Clone, Copy)]
pub struct MaskPair<'a> {
    prediction: &'a [u8],
    truth: &'a [u8],
    grid: VoxelGrid,
}

impl<'a> MaskPair<'a> {
    /// Two masks `[z, y, x]`, `x` fastest.
    ///
    /// # Errors
    /// When the grid holds no voxel or another number than the masks, or its spacing is none.
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

    /// What it is held to.
    pub fn truth(&self) -> &'a [u8] {
        self.truth
    }

    /// Where the voxels are.
    pub fn grid(&self) -> &VoxelGrid {
        &self.grid
    }
}
