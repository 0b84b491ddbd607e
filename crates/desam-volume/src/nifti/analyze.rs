//! Analyze 7.5: a header that says how large voxels are, and hardly where.

use super::header::RawHeader;
use desam_core::Affine;
use std::path::Path;

/// Where SPM keeps the voxel, counted from 1, that is the origin: three `i16`.
const ORIGINATOR: usize = 253;

/// The affine as nibabel has it: axes to the left, the front and the head, the format's own default
/// of an unflipped transverse image; the origin in the middle of the volume, or at SPM's voxel where
/// the header has one near the volume.
pub(super) fn affine(header: &RawHeader, dims: [usize; 3], spacing: [f64; 3]) -> Affine {
    let voxel = |axis: usize| {
        let [a, b] = [0, 1].map(|n| header.byte(ORIGINATOR + 2 * axis + n));
        f64::from(match header.is_big_endian() {
            true => i16::from_be_bytes([a, b]),
            false => i16::from_le_bytes([a, b]),
        })
    };
    let origin = [0, 1, 2].map(voxel);
    let near = (0..3).all(|a| {
        let size = dims[a] as f64;
        origin[a] != 0.0 && -size < origin[a] && origin[a] < 2.0 * size
    });
    let centre = match near {
        true => origin.map(|v| v - 1.0),
        false => dims.map(|d| (d as f64 - 1.0) / 2.0),
    };
    let [x, y, z] = spacing;
    let mut affine = Affine::from_spacing([-x, y, z]);
    for (axis, row) in affine.0.iter_mut().enumerate() {
        row[3] = -row[axis] * centre[axis];
    }
    affine
}

/// What there is to say about such a file.
pub(super) fn warning(path: &Path) -> String {
    format!(
        "{}: an Analyze 7.5 header does not say which way its axes point; they are taken as left, \
         anterior, superior, as nibabel and SPM take them (ITK: left, posterior, superior). Convert \
         it to NIfTI where the orientation is known",
        path.display()
    )
}
