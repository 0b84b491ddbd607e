//! From header fields to an affine, and back to a quaternion.

use super::header::{RawHeader, at};
use crate::Result;
use crate::voxels::wrong;
use desam_core::Affine;
use std::path::Path;

/// The affine by the standard's order: sform where its code is positive, else qform, else the
/// spacing alone. A form whose matrix cannot be inverted maps voxels to no volume and is passed
/// over, as if its code were zero.
pub(super) fn affine(header: &RawHeader, dims: [usize; 3], path: &Path) -> Result<Affine> {
    if header.i16(at::SFORM_CODE) > 0 {
        let rows: [f32; 12] = header.f32s(at::SROW);
        let row = |r: usize| std::array::from_fn(|c| f64::from(rows[4 * r + c]));
        let sform = Affine([row(0), row(1), row(2)]);
        if usable(&sform) {
            return Ok(sform);
        }
    }
    let pixdim: [f32; 4] = header.f32s(at::PIXDIM);
    let mut spacing = [1.0; 3];
    for axis in 0..3 {
        let value = f64::from(pixdim[axis + 1]).abs();
        if value.is_finite() && value > 0.0 {
            spacing[axis] = value;
        } else if dims[axis] > 1 {
            const FIELDS: [&str; 3] = ["pixdim[1]", "pixdim[2]", "pixdim[3]"];
            return Err(wrong(path, FIELDS[axis], pixdim[axis + 1], "a length in mm above 0"));
        }
        // An axis of one voxel needs no spacing, and many writers give it none.
    }
    if header.i16(at::QFORM_CODE) > 0 {
        let q: [f32; 6] = header.f32s(at::QUATERN);
        let handed = if pixdim[0] < 0.0 { -1.0 } else { 1.0 };
        let qform = from_quaternion(q.map(f64::from), spacing, handed);
        if usable(&qform) {
            return Ok(qform);
        }
    }
    let plain = Affine::from_spacing(spacing);
    if !usable(&plain) {
        let found = format!("{:?}", &pixdim[1..]);
        return Err(wrong(path, "pixdim[1..4]", found, "lengths in mm that make up a volume"));
    }
    Ok(plain)
}

fn usable(affine: &Affine) -> bool {
    affine.0.iter().flatten().all(|v| v.is_finite()) && affine.inverse().is_ok()
}

/// The standard's method 2; `q` holds b, c, d and the offsets x, y, z.
fn from_quaternion(q: [f64; 6], spacing: [f64; 3], handed: f64) -> Affine {
    let [mut b, mut c, mut d, x, y, z] = q;
    let rest = 1.0 - (b * b + c * c + d * d);
    let a = if rest < 1e-7 {
        // A half turn: rounding may have pushed the vector part beyond length 1.
        let length = (b * b + c * c + d * d).sqrt();
        (b, c, d) = (b / length, c / length, d / length);
        0.0
    } else {
        rest.sqrt()
    };
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - c * c - b * b],
    ];
    let [i, j, k] = [spacing[0], spacing[1], spacing[2] * handed];
    let offsets = [x, y, z];
    let row = |r: usize| {
        let m = rotation[r];
        [m[0] * i, m[1] * j, m[2] * k, offsets[r]]
    };
    Affine([row(0), row(1), row(2)])
}

/// A rotation as NIfTI stores it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quaternion {
    /// The vector part b, c, d; the scalar part is never negative and follows from it.
    pub(super) vector: [f64; 3],
    /// -1 where the third axis must be flipped to make the rotation proper, else 1.
    pub(super) handed: f64,
}

/// The quaternion of an affine; `None` where its axes are not orthogonal (qform has no shear).
pub(super) fn to_quaternion(affine: &Affine) -> Option<Quaternion> {
    let spacing = affine.spacing();
    if spacing.iter().any(|s| !s.is_finite() || *s <= 0.0) {
        return None;
    }
    let mut m = [[0.0; 3]; 3];
    for (row, from) in m.iter_mut().zip(affine.0) {
        *row = std::array::from_fn(|c| from[c] / spacing[c]);
    }
    let cosine = |p: usize, q: usize| m.iter().map(|r| r[p] * r[q]).sum::<f64>().abs();
    if [cosine(0, 1), cosine(0, 2), cosine(1, 2)].iter().any(|&c| c > 1e-4) {
        return None;
    }
    let handed = if affine.determinant() < 0.0 { -1.0 } else { 1.0 };
    m.iter_mut().for_each(|row| row[2] *= handed);
    Some(Quaternion { vector: vector_part(&m), handed })
}

/// The vector part of a proper rotation, by its largest component (the scalar one made positive).
fn vector_part(m: &[[f64; 3]; 3]) -> [f64; 3] {
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
