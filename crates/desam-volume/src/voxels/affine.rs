//! Conversion between RAS+ affines and the LPS geometry of ITK's formats.

use desam_core::Affine;

/// RAS+ affine from LPS steps and origin: `columns[a]` is the step of one voxel along axis `a`,
/// `origin` the first voxel, mm.
pub(crate) fn lps_affine(columns: [[f64; 3]; 3], origin: [f64; 3]) -> Affine {
    let sign = [-1.0, -1.0, 1.0];
    Affine([0, 1, 2].map(|row| {
        let cell = |v: f64| if v == 0.0 { 0.0 } else { sign[row] * v };
        [columns[0][row], columns[1][row], columns[2][row], origin[row]].map(cell)
    }))
}

/// LPS steps and origin of a RAS+ affine, the inverse of [`lps_affine`].
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

/// Formats numbers with spaces between them; parsing them gives the same bits.
pub(crate) fn spaced(values: impl IntoIterator<Item = f64>) -> String {
    values.into_iter().map(|v| v.to_string()).collect::<Vec<_>>().join(" ")
}
