//! Surface elements as in surface-distance: cells between voxel centres, weighted by their surface area.

use super::areas::areas;
use super::crop::{Crop, PREDICTION, TRUTH};
use super::distances::{Distances, Sheet};
use super::edt::Field;

/// Distances from each element of one surface to the nearest element of the other.
pub(super) fn distances(crop: &Crop, spacing: [f64; 3]) -> Distances {
    let elements = Elements::new(crop);
    let field = Field { marks: &elements.marks, dims: elements.dims, spacing };
    let areas = areas(spacing);
    let sheet = |from, to, codes: &[u8]| {
        let areas = codes.iter().map(|code| areas[usize::from(*code)]);
        Sheet::new(field.nearest(from, to).into_iter().zip(areas))
    };
    Distances {
        prediction: sheet(PREDICTION, TRUTH, &elements.prediction),
        truth: sheet(TRUTH, PREDICTION, &elements.truth),
    }
}

/// The cells between voxel centres that a surface passes through.
struct Elements {
    /// [`PREDICTION`] and [`TRUTH`] of each cell.
    marks: Vec<u8>,
    /// Cells along `[z, y, x]`.
    dims: [usize; 3],
    /// The codes of the prediction's elements, in the order of storage.
    prediction: Vec<u8>,
    /// The codes of the truth's.
    truth: Vec<u8>,
}

impl Elements {
    fn new(crop: &Crop) -> Self {
        let dims = crop.dims.map(|d| d.saturating_sub(1));
        let [depth, height, width] = dims;
        let mut found = Self {
            marks: vec![0; depth * height * width],
            dims,
            prediction: Vec::new(),
            truth: Vec::new(),
        };
        if found.marks.is_empty() {
            return found;
        }
        let stride = width + 1;
        for (i, marks) in found.marks.chunks_mut(width).enumerate() {
            let (z, y) = (i / height, i % height);
            let row = |dz: usize, dy: usize| {
                &crop.bits[((z + dz) * (height + 1) + y + dy) * stride..][..stride]
            };
            let rows = [row(0, 0), row(0, 1), row(1, 0), row(1, 1)];
            for (bit, codes) in [(PREDICTION, &mut found.prediction), (TRUTH, &mut found.truth)] {
                let mut left = corners(rows, 0, bit);
                for (x, mark) in marks.iter_mut().enumerate() {
                    let right = corners(rows, x + 1, bit);
                    let code = left | right << 1;
                    left = right;
                    if code != 0 && code != u8::MAX {
                        *mark |= bit;
                        codes.push(code);
                    }
                }
            }
        }
        found
    }
}

/// Bits 0, 2, 4 and 6 of a code: the four corners of a cell that lie in column `x`.
fn corners(rows: [&[u8]; 4], x: usize, bit: u8) -> u8 {
    let set = |row: usize| u8::from(rows[row][x] & bit > 0);
    set(0) | set(1) << 2 | set(2) << 4 | set(3) << 6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{MaskPair, VoxelGrid};

    #[test]
    fn a_voxel_is_an_octahedron_and_a_box_has_cut_edges() {
        // By hand: around one voxel, eight triangles of √3/8; around 3 × 3 × 3, six faces of
        // 2 × 2, twelve edges of 2 by √½, eight corners.
        let mut one = vec![0; 27];
        one[13] = 1;
        let all = vec![1; 27];
        let grid = VoxelGrid { shape: [3; 3], spacing_mm: [1.0; 3] };
        let crop = Crop::new(&MaskPair::new(&one, &all, grid).unwrap());
        let elements = Elements::new(&crop);
        assert_eq!((elements.prediction.len(), elements.truth.len()), (8, 64 - 8));
        let areas = areas([1.0; 3]);
        let total = |codes: &[u8]| codes.iter().map(|c| areas[usize::from(*c)]).sum::<f64>();
        let corners = 3f64.sqrt();
        assert!((total(&elements.prediction) - corners).abs() < 1e-12);
        let expected = 24.0 + 24.0 * 0.5f64.sqrt() + corners;
        assert!((total(&elements.truth) - expected).abs() < 1e-12);
    }
}
