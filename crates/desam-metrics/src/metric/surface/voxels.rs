//! Surface voxels as in medpy: the voxels of a mask with a background neighbour.

use super::crop::{Crop, PREDICTION, TRUTH};
use super::distances::{Distances, Sheet};
use super::edt::Field;

/// Distances from each surface voxel of one mask to the nearest one of the other.
pub(super) fn distances(crop: &Crop, spacing: [f64; 3]) -> Distances {
    let marks = borders(crop);
    let field = Field { marks: &marks, dims: crop.dims, spacing };
    let sheet = |from, to| Sheet::new(field.nearest(from, to).into_iter().map(|d| (d, 1.0)));
    Distances { prediction: sheet(PREDICTION, TRUTH), truth: sheet(TRUTH, PREDICTION) }
}

/// Foreground minus its erosion by the six-neighbourhood, for both masks at once.
fn borders(crop: &Crop) -> Vec<u8> {
    let [_, height, width] = crop.dims;
    let plane = height * width;
    let bits = &crop.bits;
    let mut marks = vec![0; bits.len()];
    // The rim of the crop is background, so every other voxel has all its neighbours in the crop.
    let inside = plane + width + 1;
    let Some(marked) = bits.len().checked_sub(2 * inside).filter(|n| *n > 0) else {
        return marks;
    };
    let at = |from: usize| &bits[from..from + marked];
    let neighbours = at(inside - 1)
        .iter()
        .zip(at(inside + 1))
        .zip(at(inside - width).iter().zip(at(inside + width)))
        .zip(at(inside - plane).iter().zip(at(inside + plane)));
    let here = marks[inside..].iter_mut().zip(at(inside));
    for ((mark, voxel), (((left, right), (above, below)), (before, after))) in here.zip(neighbours)
    {
        *mark = voxel & !(left & right & above & below & before & after);
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{MaskPair, VoxelGrid};

    #[test]
    fn a_cube_has_its_faces_and_a_plate_is_all_surface() {
        // By hand: of 4 × 4 × 4 voxels, 2 × 2 × 2 are inside; a plate one voxel thick has no inside.
        let cube = vec![1; 64];
        let mut plate = vec![0; 64];
        plate[16..32].fill(1);
        let grid = VoxelGrid { shape: [4; 3], spacing_mm: [1.0; 3] };
        let crop = Crop::new(&MaskPair::new(&cube, &plate, grid).unwrap());
        let marks = borders(&crop);
        let count = |bit: u8| marks.iter().filter(|m| **m & bit > 0).count();
        assert_eq!((count(PREDICTION), count(TRUTH)), (64 - 8, 16));
    }
}
