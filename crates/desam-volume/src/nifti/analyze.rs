//! Analyze 7.5, the predecessor of NIfTI: a header with voxel spacing and hardly any orientation.

use super::header::RawHeader;
use desam_core::Affine;
use std::path::Path;

/// Offset of SPM's `originator` field: the origin voxel, counted from 1, as three `i16`.
const ORIGINATOR: usize = 253;

/// The affine as nibabel builds it: axes to the left, anterior and superior (LAS), the format's default
/// of an unflipped transverse image; the origin is the centre of the volume, or SPM's `originator`
/// voxel where that is near the volume.
pub(super) fn affine(header: &RawHeader, dims: [usize; 3], spacing: [f64; 3]) -> Affine {
    let voxel = |axis: usize| {
        let [a, b] = [0, 1].map(|n| header.byte(ORIGINATOR + 2 * axis + n));
        let big_endian = header.is_big_endian();
        f64::from(if big_endian { i16::from_be_bytes([a, b]) } else { i16::from_le_bytes([a, b]) })
    };
    let origin = [0, 1, 2].map(voxel);
    let near = (0..3).all(|a| {
        let size = dims[a] as f64;
        origin[a] != 0.0 && -size < origin[a] && origin[a] < 2.0 * size
    });
    let centre = if near { origin.map(|v| v - 1.0) } else { dims.map(|d| (d as f64 - 1.0) / 2.0) };
    let [x, y, z] = spacing;
    let mut affine = Affine::from_spacing([-x, y, z]);
    for (axis, row) in affine.0.iter_mut().enumerate() {
        row[3] = -row[axis] * centre[axis];
    }
    affine
}

/// The warning about the unstated orientation of such a file.
pub(super) fn warning(path: &Path) -> String {
    format!(
        "{}: an Analyze 7.5 header does not say which way its axes point; they are taken as left, \
         anterior, superior, as nibabel and SPM take them (ITK: left, posterior, superior). Convert \
         it to NIfTI where the orientation is known",
        path.display()
    )
}
