//! From a volume to a file.

use super::header::{DATA_START, HEADER_BYTES, RawHeader, at};
use super::orientation::to_quaternion;
use super::pair::PairPaths;
use super::read::Opened;
use crate::preprocess::expect_same_grid;
use crate::voxels::{expect_others, gzip};
use crate::{Error, Result, atomic::write_atomic};
use desam_core::{Grid, LabelVolume, Volume};
use std::io::{Result as IoResult, Write};
use std::path::{Path, PathBuf};

/// The standard's code for a form that aligns voxels with the scanner's axes.
const SCANNER: i16 = 1;
/// The standard's code for millimetres.
const MILLIMETRES: u8 = 2;
const U8: i16 = 2;
const F32: i16 = 16;

/// Writes `mask` with the header of `reference`: dimensions, spacing, qform and sform with their
/// codes, units and byte order stay as they are to the last bit; the voxels are `u8` without
/// scaling, display range or extensions. Packed where `out` ends in `.gz`, a pair where it ends in
/// `.hdr` or `.img`. Atomic, file by file: the header of a pair comes last.
///
/// # Errors
/// As [`super::read_volume`] for the reference's header; [`Error::GridMismatch`] when the mask
/// lies on another grid; [`Error::Unwritable`] when a file of the mask is one of the reference's;
/// [`Error::Io`] when `out` cannot be written.
pub fn write_mask_like(reference: &Path, out: &Path, mask: &LabelVolume) -> Result<()> {
    let opened = Opened::new(reference)?;
    expect_same_grid(&opened.facts.grid, mask.grid())?;
    let to = PairPaths::of(out);
    let written = to.voxels.iter().chain([&to.header]);
    expect_others(opened.voxel_file().into_iter().chain([reference]), written)?;
    let mut header = opened.header;
    describe_voxels(&mut header, U8, 8);
    header.set_text(at::DESCRIP, 80, "mask of DeSAM");
    save(out, header, |w| w.write_all(mask.data()))
}

/// Writes intensities as `f32`, with their affine as sform and, where its axes are orthogonal, as
/// qform too. Packed where `out` ends in `.gz`; the same volume gives the same bytes. Atomic.
///
/// # Errors
/// [`Error::Unwritable`] when the grid does not fit a NIfTI-1 header, [`Error::Io`] when `out`
/// cannot be written.
pub fn write_volume(out: &Path, volume: &Volume) -> Result<()> {
    let header = header_for(volume.grid(), F32, 32, out)?;
    save(out, header, |w| volume.data().iter().try_for_each(|v| w.write_all(&v.to_le_bytes())))
}

/// Writes labels as `u8`, otherwise as [`write_volume`].
///
/// # Errors
/// As [`write_volume`].
pub fn write_labels(out: &Path, labels: &LabelVolume) -> Result<()> {
    let header = header_for(labels.grid(), U8, 8, out)?;
    save(out, header, |w| w.write_all(labels.data()))
}

/// The fields that say how voxels are stored and shown.
fn describe_voxels(header: &mut RawHeader, datatype: i16, bits: i16) {
    header.set_i16(at::DATATYPE, datatype);
    header.set_i16(at::BITPIX, bits);
    header.set_f32s(at::VOX_OFFSET, &[DATA_START as f32]);
    header.set_f32s(at::SCL_SLOPE, &[1.0]);
    header.set_f32s(at::SCL_INTER, &[0.0]);
    header.set_f32s(at::CAL_MAX, &[0.0]);
    header.set_f32s(at::CAL_MIN, &[0.0]);
    header.set_text(at::MAGIC, 4, "n+1");
}

fn header_for(grid: &Grid, datatype: i16, bits: i16, out: &Path) -> Result<RawHeader> {
    let unwritable = |problem: String| Error::Unwritable { path: out.to_path_buf(), problem };
    if grid.affine.0.iter().flatten().any(|v| !v.is_finite()) {
        return Err(unwritable(format!("its affine is not finite: {:?}", grid.affine.0)));
    }
    let mut header = RawHeader::empty();
    header.set_i16(at::DIM, 3);
    for axis in 0..7 {
        let dim = grid.dims.get(axis).copied().unwrap_or(1);
        let short = i16::try_from(dim).ok().filter(|d| *d > 0).ok_or_else(|| {
            unwritable(format!("dimensions {:?} are not from 1 to 32767 each", grid.dims))
        })?;
        header.set_i16(at::DIM + 2 * (axis + 1), short);
    }
    describe_voxels(&mut header, datatype, bits);
    header.set_u8(at::XYZT_UNITS, MILLIMETRES);
    let [x, y, z] = grid.spacing().map(|s| s as f32);
    header.set_f32s(at::PIXDIM, &[1.0, x, y, z]);
    header.set_i16(at::SFORM_CODE, SCANNER);
    for (r, row) in grid.affine.0.iter().enumerate() {
        header.set_f32s(at::SROW + 16 * r, &row.map(|v| v as f32));
    }
    if let Some(q) = to_quaternion(&grid.affine) {
        header.set_i16(at::QFORM_CODE, SCANNER);
        header.set_f32s(at::PIXDIM, &[q.handed as f32]);
        header.set_f32s(at::QUATERN, &q.vector.map(|v| v as f32));
        header.set_f32s(at::QUATERN + 12, &grid.affine.0.map(|row| row[3] as f32));
    }
    Ok(header)
}

/// The files that a mask named `out` is written to.
pub(crate) fn written_files(out: &Path) -> Vec<PathBuf> {
    let PairPaths { header, voxels } = PairPaths::of(out);
    [header].into_iter().chain(voxels).collect()
}

/// Writes header, the flag for "no extensions" and the voxels.
fn save(
    out: &Path,
    mut header: RawHeader,
    voxels: impl Fn(&mut dyn Write) -> IoResult<()>,
) -> Result<()> {
    let paths = PairPaths::of(out);
    if let Some(path) = &paths.voxels {
        header.set_text(at::MAGIC, 4, "ni1");
        header.set_f32s(at::VOX_OFFSET, &[0.0]);
        write_packed(path, &voxels)?;
    }
    write_packed(&paths.header, |w| {
        w.write_all(header.bytes())?;
        w.write_all(&[0; DATA_START as usize - HEADER_BYTES])?;
        if paths.voxels.is_none() { voxels(w) } else { Ok(()) }
    })
}

/// Writes a file in one step, packed where its name ends in `.gz`.
fn write_packed(path: &Path, content: impl Fn(&mut dyn Write) -> IoResult<()>) -> Result<()> {
    let packed = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    write_atomic(path, |file| if packed { gzip(file, content) } else { content(file) })
}
