//! Geometry as ITK has it.

use desam_core::Affine;

/// An affine in RAS+ from the steps of the three axes and the place of the first voxel, in LPS:
/// `columns[a]` is what one voxel along axis `a` adds.
pub(crate) fn lps_affine(columns: [[f64; 3]; 3], origin: [f64; 3]) -> Affine {
    let sign = [-1.0, -1.0, 1.0];
    Affine([0, 1, 2].map(|row| {
        let cell = |v: f64| if v == 0.0 { 0.0 } else { sign[row] * v };
        [columns[0][row], columns[1][row], columns[2][row], origin[row]].map(cell)
    }))
}

/// The steps of the axes and the origin of an affine, in LPS: what [`lps_affine`] takes.
pub(crate) fn to_lps(affine: &Affine) -> ([[f64; 3]; 3], [f64; 3]) {
    let sign = [-1.0, -1.0, 1.0];
    let column = |c: usize| {
        [0, 1, 2].map(|row| {
            let v = affine.0[row][c];
            if v == 0.0 { 0.0 } else { sign[row] * v }
        })
    };
    ([0, 1, 2].map(column), column(3))
}

/// Numbers with spaces between them, so that reading gives the same bits.
pub(crate) fn spaced(values: impl IntoIterator<Item = f64>) -> String {
    values.into_iter().map(|v| v.to_string()).collect::<Vec<_>>().join(" ")
}
