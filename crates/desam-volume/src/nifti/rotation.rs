//! The qform quaternion of an affine: its nearest rotation.

use desam_core::Affine;

/// ITK's tolerance for orthonormal directions, beyond which it refuses a form as sheared: no
/// element of R·Rᵀ further than this from the identity's, R being the matrix with the lengths of
/// its columns divided out (ITK 5.4, NiftiImageIO, `SetImageIOOrientationFromNIfTI`).
pub(super) const ITK_ORTHONORMAL: f64 = 1e-4;

/// Newton's steps to the nearest rotation; they double the number of correct digits.
const STEPS: usize = 60;

type Matrix = [[f64; 3]; 3];

/// A rotation as NIfTI stores it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quaternion {
    /// The vector part b, c, d; the scalar part is never negative and follows from it.
    pub(super) vector: [f64; 3],
    /// -1 where the third axis must be flipped to make the rotation proper, else 1.
    pub(super) handed: f64,
}

/// The directions of an affine's axes, as columns of length 1.
fn directions(affine: &Affine) -> Option<Matrix> {
    let spacing = affine.spacing();
    let usable = spacing.iter().all(|s| s.is_finite() && *s > 0.0);
    usable.then(|| affine.0.map(|row| std::array::from_fn(|c| row[c] / spacing[c])))
}

/// The largest deviation of R·Rᵀ from the identity; infinite where the affine has no directions.
pub(super) fn shear(affine: &Affine) -> f64 {
    let Some(m) = directions(affine) else {
        return f64::INFINITY;
    };
    let mut worst = 0.0_f64;
    for (p, row) in m.iter().enumerate() {
        for (q, other) in m.iter().enumerate() {
            let product: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            worst = worst.max((product - f64::from(p == q)).abs());
        }
    }
    worst
}

/// The quaternion of the rotation that is nearest to an affine's directions (in the Frobenius norm,
/// as nibabel's `set_qform(strip_shears=True)` has it); `None` where the affine has none.
pub(super) fn to_quaternion(affine: &Affine) -> Option<Quaternion> {
    let handed = if affine.determinant() < 0.0 { -1.0 } else { 1.0 };
    let mut m = directions(affine)?;
    m.iter_mut().for_each(|row| row[2] *= handed);
    Some(Quaternion { vector: vector_part(&nearest_rotation(m)?), handed })
}

/// The orthogonal factor of the polar decomposition, by Newton's iteration `X ← (X + X⁻ᵀ) / 2`
/// (Higham 1986), which converges for every matrix that can be inverted.
fn nearest_rotation(mut x: Matrix) -> Option<Matrix> {
    for _ in 0..STEPS {
        let inverse = inverse_transposed(&x)?;
        let mut moved = 0.0_f64;
        for (row, other) in x.iter_mut().zip(inverse) {
            for (cell, value) in row.iter_mut().zip(other) {
                let next = 0.5 * (*cell + value);
                moved = moved.max((next - *cell).abs());
                *cell = next;
            }
        }
        if moved < 1e-15 {
            break;
        }
    }
    Some(x)
}

fn inverse_transposed(m: &Matrix) -> Option<Matrix> {
    let cofactor = |r: usize, c: usize| {
        let ([r1, r2], [c1, c2]) = ([(r + 1) % 3, (r + 2) % 3], [(c + 1) % 3, (c + 2) % 3]);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant: f64 = (0..3).map(|c| m[0][c] * cofactor(0, c)).sum();
    let usable = determinant.is_finite() && determinant.abs() > 1e-12;
    usable.then(|| std::array::from_fn(|r| std::array::from_fn(|c| cofactor(r, c) / determinant)))
}

/// The vector part of a proper rotation, by its largest component (the scalar one made positive).
fn vector_part(m: &Matrix) -> [f64; 3] {
    let trace = m[0][0] + m[1][1] + m[2][2];
    // Four times the square of each component a, b, c, d.
    let squares = [
        1.0 + trace,
        1.0 + m[0][0] - m[1][1] - m[2][2],
        1.0 + m[1][1] - m[0][0] - m[2][2],
        1.0 + m[2][2] - m[0][0] - m[1][1],
    ];
    let mut largest = 0;
    for (i, s) in squares.iter().enumerate() {
        if *s > squares[largest] {
            largest = i;
        }
    }
    let whole = 2.0 * squares[largest].max(0.0).sqrt();
    let (ab, ac, ad) = (m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]);
    let (bc, bd, cd) = (m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]);
    let [a, b, c, d] = match largest {
        0 => [whole / 4.0, ab / whole, ac / whole, ad / whole],
        1 => [ab / whole, whole / 4.0, bc / whole, bd / whole],
        2 => [ac / whole, bc / whole, whole / 4.0, cd / whole],
        _ => [ad / whole, bd / whole, cd / whole, whole / 4.0],
    };
    if a < 0.0 { [-b, -c, -d] } else { [b, c, d] }
}
