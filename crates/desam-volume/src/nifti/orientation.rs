//! Orientation: the affine from sform, qform or spacing.

use super::field::Field;
use super::header::RawHeader;
use crate::Result;
use crate::voxels::wrong;
use desam_core::Affine;
use std::path::Path;

/// Expectation in the error for an sform or qform with a positive code that is not invertible.
const INVERTIBLE: &str = "finite numbers whose matrix can be inverted, so that each voxel has a place \
                          (set the form again, or its code to 0)";

/// The affine by the standard's order: sform where its code is positive, else qform, else the
/// spacing alone. An sform whose matrix cannot be inverted maps voxels to no volume; a qform beside it
/// takes its place ([`unusable_sform`] says so).
///
/// # Errors
/// [`crate::Error::Header`] when a header states an orientation and none of its forms can be used, or
/// when the spacing is no volume's.
pub(super) fn affine(header: &RawHeader, dims: [usize; 3], path: &Path) -> Result<Affine> {
    if let Some(sform) = sform(header) {
        return Ok(sform);
    }
    let spacing = spacing(header, dims, path)?;
    if header.get(Field::QformCode, 0) > 0.0 {
        let handed = if header.get(Field::Pixdim, 0) < 0.0 { -1.0 } else { 1.0 };
        let qform = from_quaternion(header.numbers(Field::Quaternion), spacing, handed);
        if usable(&qform) {
            return Ok(qform);
        }
        let found = format!("that of the affine {:?}", qform.0);
        return Err(wrong(path, "qform", found, INVERTIBLE));
    }
    if unusable_sform(header) {
        let rows: [f64; 12] = header.numbers(Field::Srow);
        return Err(wrong(path, "srow_x, srow_y, srow_z", format!("{rows:?}"), INVERTIBLE));
    }
    let plain = Affine::from_spacing(spacing);
    if !usable(&plain) {
        let found = format!("{spacing:?}");
        return Err(wrong(path, "pixdim[1..4]", found, "lengths in mm that make up a volume"));
    }
    Ok(plain)
}

/// Whether the header has a singular sform, such as one of zeros.
pub(super) fn unusable_sform(header: &RawHeader) -> bool {
    header.get(Field::SformCode, 0) > 0.0 && sform(header).is_none()
}

/// The sform, where the header has one that can be used.
pub(super) fn sform(header: &RawHeader) -> Option<Affine> {
    let rows: [f64; 12] = header.numbers(Field::Srow);
    let row = |r: usize| std::array::from_fn(|c| rows[4 * r + c]);
    let sform = Affine([row(0), row(1), row(2)]);
    (header.get(Field::SformCode, 0) > 0.0 && usable(&sform)).then_some(sform)
}

/// Voxel spacing (`pixdim`), mm. An axis of one voxel needs none, and many writers give it none.
pub(super) fn spacing(header: &RawHeader, dims: [usize; 3], path: &Path) -> Result<[f64; 3]> {
    let pixdim: [f64; 4] = header.numbers(Field::Pixdim);
    let mut spacing = [1.0; 3];
    for axis in 0..3 {
        let value = pixdim[axis + 1].abs();
        if value.is_finite() && value > 0.0 {
            spacing[axis] = value;
        } else if dims[axis] > 1 {
            const FIELDS: [&str; 3] = ["pixdim[1]", "pixdim[2]", "pixdim[3]"];
            return Err(wrong(path, FIELDS[axis], pixdim[axis + 1], "a length in mm above 0"));
        }
    }
    Ok(spacing)
}

/// The affine that ITK takes where a header states no orientation (NiftiImageIO,
/// `SetImageIOOrientationFromNIfTI`): the identity in LPS, the first voxel at the origin.
pub(super) fn itk([x, y, z]: [f64; 3]) -> Affine {
    Affine::from_spacing([-x, -y, z])
}

fn usable(affine: &Affine) -> bool {
    affine.0.iter().flatten().all(|v| v.is_finite()) && affine.inverse().is_ok()
}

/// The qform's affine (method 2 of the standard); `q` holds b, c, d and the offsets x, y, z.
pub(super) fn from_quaternion(q: [f64; 6], spacing: [f64; 3], handed: f64) -> Affine {
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
