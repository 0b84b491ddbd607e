//! Writing NIfTI files.

use super::field::Field;
use super::header::{RawHeader, VoxelLocation};
use super::header_info::HeaderKind;
use super::orientation::sform;
use super::pair::PairPaths;
use super::read::OpenedFile;
use super::rotation::{ITK_ORTHONORMAL, shear, to_quaternion};
use super::version::Version;
use crate::same_grid::expect_same_grid;
use crate::voxels::{expect_others, gzip};
use crate::{Error, Result, atomic::write_atomic};
use desam_core::{Affine, Grid, LabelVolume, Volume};
use std::io::{Result as IoResult, Write};
use std::path::{Path, PathBuf};

/// The standard's code for a form that aligns voxels with the scanner's axes.
const SCANNER: f64 = 1.0;
/// The standard's code for millimetres.
const MILLIMETRES: f64 = 2.0;

/// The data type of a file that is written.
#[derive(Debug, Clone, Copy)]
struct StoredType {
    datatype: f64,
    bits: f64,
}

const U8: StoredType = StoredType { datatype: 2.0, bits: 8.0 };
const F32: StoredType = StoredType { datatype: 16.0, bits: 32.0 };

/// The voxel type and description of a file derived from an image.
#[derive(Debug, Clone, Copy)]
struct DerivedContent {
    stored: StoredType,
    description: &'static str,
}

const MASK: DerivedContent = DerivedContent { stored: U8, description: "mask of DeSAM" };
const MAP: DerivedContent = DerivedContent { stored: F32, description: "map of DeSAM" };

/// Writes `mask` with the header of `reference`: dimensions, spacing, qform and sform with their
/// codes, units and byte order stay as they are to the last bit; the voxels are `u8` without
/// scaling, display range or extensions. Packed where `out` ends in `.gz`, a pair where it ends in
/// `.hdr` or `.img`. Atomic, file by file: the header of a pair comes last.
///
/// Where ITK could not read such a header, as little as possible is changed: a sheared sform gets
/// the nearest rotation as qform beside it where there was none, the header of NIfTI-2 becomes one of
/// NIfTI-1 where its dimensions fit, and of a file of several channels the mask is one volume. The
/// mask of an Analyze image is NIfTI without codes, which every reader places where it places the
/// image.
///
/// # Errors
/// As [`super::read_volume`] for the reference's header; [`Error::GridMismatch`] when the mask
/// lies on another grid; [`Error::Unwritable`] when a file of the mask is one of the reference's;
/// [`Error::Io`] when `out` cannot be written.
pub fn write_mask_like(reference: &Path, out: &Path, mask: &LabelVolume) -> Result<()> {
    let header = header_like(reference, out, mask.grid(), &MASK)?;
    save(out, header, |w| w.write_all(mask.data()))
}

/// Writes a map of `f32` with the header of `reference`, otherwise as [`write_mask_like`].
///
/// # Errors
/// As [`write_mask_like`].
pub fn write_volume_like(reference: &Path, out: &Path, volume: &Volume) -> Result<()> {
    let header = header_like(reference, out, volume.grid(), &MAP)?;
    let big_endian = header.is_big_endian();
    save(out, header, |w| write_floats(w, volume.data(), big_endian))
}

/// Writes intensities as `f32`, with their affine as sform and the nearest rotation as qform.
/// Packed where `out` ends in `.gz`; the same volume gives the same bytes. Atomic.
///
/// # Errors
/// [`Error::Unwritable`] when the grid does not fit a header, [`Error::Io`] when `out` cannot be
/// written.
pub fn write_volume(out: &Path, volume: &Volume) -> Result<()> {
    let header = header_for(volume.grid(), F32, out)?;
    save(out, header, |w| write_floats(w, volume.data(), false))
}

/// Writes labels as `u8`, otherwise as [`write_volume`].
///
/// # Errors
/// As [`write_volume`].
pub fn write_labels(out: &Path, labels: &LabelVolume) -> Result<()> {
    let header = header_for(labels.grid(), U8, out)?;
    save(out, header, |w| w.write_all(labels.data()))
}

/// The bytes that [`write_volume`] writes, for an object in memory.
#[cfg(feature = "nifti")]
pub(super) fn volume_bytes(volume: &Volume, name: &Path) -> Result<Vec<u8>> {
    let header = header_for(volume.grid(), F32, name)?;
    let mut bytes = [header.bytes(), &[0; 4]].concat();
    write_floats(&mut bytes, volume.data(), false).map_err(Error::io("write", name))?;
    Ok(bytes)
}

/// The bytes that [`write_labels`] writes, for an object in memory.
#[cfg(feature = "nifti")]
pub(super) fn labels_bytes(labels: &LabelVolume, name: &Path) -> Result<Vec<u8>> {
    let header = header_for(labels.grid(), U8, name)?;
    Ok([header.bytes(), &[0; 4], labels.data()].concat())
}

fn write_floats(out: &mut dyn Write, values: &[f32], big_endian: bool) -> IoResult<()> {
    values.iter().try_for_each(|v| {
        out.write_all(&if big_endian { v.to_be_bytes() } else { v.to_le_bytes() })
    })
}

/// A header with the geometry of `reference`.
fn header_like(
    reference: &Path,
    out: &Path,
    grid: &Grid,
    content: &DerivedContent,
) -> Result<RawHeader> {
    let DerivedContent { stored, description } = *content;
    let opened = OpenedFile::new(reference)?;
    expect_same_grid(&opened.info.grid, grid)?;
    let to = PairPaths::of(out);
    let written = to.voxels.iter().chain([&to.header]);
    expect_others(opened.voxel_file().into_iter().chain([reference]), written)?;
    let mut header = match opened.info.kind {
        HeaderKind::Nifti => as_version_one(opened.header),
        HeaderKind::Analyze => {
            let mut header = header_for(grid, stored, out)?;
            [Field::QformCode, Field::SformCode].iter().for_each(|f| header.set(*f, 0, 0.0));
            header
        }
    };
    if opened.info.channels.count > 1 {
        header.set_all(Field::Dim, &[3.0]);
        (4..8).for_each(|axis| header.set(Field::Dim, axis, 1.0));
        header.set(Field::IntentCode, 0, 0.0);
    }
    make_readable_by_itk(&mut header);
    describe_voxels(&mut header, stored);
    header.set_description(description);
    Ok(header)
}

/// Converts a header to NIfTI-1, which more programs read; unchanged if a dimension does not fit.
fn as_version_one(header: RawHeader) -> RawHeader {
    let dims: [f64; 8] = header.numbers(Field::Dim);
    let largest = Version::One.largest_dim() as f64;
    if header.version() == Version::One || dims.iter().any(|d| *d > largest) {
        return header;
    }
    let mut one = RawHeader::empty(Version::One);
    for (field, count) in Field::GEOMETRY {
        (0..count).for_each(|index| one.set(field, index, header.get(field, index)));
    }
    one
}

/// Gives a header whose only form is a sheared sform the nearest rotation as qform: ITK refuses it
/// otherwise. Readers that take the sform do as before.
fn make_readable_by_itk(header: &mut RawHeader) {
    let Some(affine) = sform(header).filter(|_| header.get(Field::QformCode, 0) <= 0.0) else {
        return;
    };
    // ITK computes in f32, so half its tolerance is a safe margin.
    if shear(&affine) > 0.5 * ITK_ORTHONORMAL {
        set_qform(header, &affine);
    }
}

/// Writes the nearest rotation of an affine, its spacing and its origin as qform.
fn set_qform(header: &mut RawHeader, affine: &Affine) {
    let Some(q) = to_quaternion(affine) else { return };
    let [x, y, z] = affine.spacing();
    let [b, c, d] = q.vector;
    let [ox, oy, oz] = affine.0.map(|row| row[3]);
    header.set(Field::QformCode, 0, SCANNER);
    header.set_all(Field::Pixdim, &[q.handed, x, y, z]);
    header.set_all(Field::Quaternion, &[b, c, d, ox, oy, oz]);
}

/// Sets the fields of data type, scaling and display range.
fn describe_voxels(header: &mut RawHeader, stored: StoredType) {
    header.set(Field::Datatype, 0, stored.datatype);
    header.set(Field::Bitpix, 0, stored.bits);
    header.set(Field::VoxOffset, 0, header.version().data_start() as f64);
    header.set(Field::Slope, 0, 1.0);
    for field in [Field::Intercept, Field::CalMax, Field::CalMin] {
        header.set(field, 0, 0.0);
    }
    header.set_magic(VoxelLocation::SameFile);
}

fn header_for(grid: &Grid, stored: StoredType, out: &Path) -> Result<RawHeader> {
    let unwritable = |problem: String| Error::Unwritable { path: out.to_path_buf(), problem };
    if grid.affine.0.iter().flatten().any(|v| !v.is_finite()) {
        return Err(unwritable(format!("its affine is not finite: {:?}", grid.affine.0)));
    }
    let largest = Version::One.largest_dim();
    if grid.dims.iter().any(|d| !(1..=largest).contains(d)) {
        let problem = format!("dimensions {:?} are not from 1 to {largest} each", grid.dims);
        return Err(unwritable(problem));
    }
    let mut header = RawHeader::empty(Version::One);
    let [i, j, k] = grid.dims.map(|d| d as f64);
    header.set_all(Field::Dim, &[3.0, i, j, k, 1.0, 1.0, 1.0, 1.0]);
    describe_voxels(&mut header, stored);
    header.set(Field::Units, 0, MILLIMETRES);
    let [x, y, z] = grid.spacing();
    header.set_all(Field::Pixdim, &[1.0, x, y, z]);
    header.set(Field::SformCode, 0, SCANNER);
    header.set_all(Field::Srow, grid.affine.0.as_flattened());
    set_qform(&mut header, &grid.affine);
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
        header.set_magic(VoxelLocation::PairFile);
        header.set(Field::VoxOffset, 0, 0.0);
        write_packed(path, &voxels)?;
    }
    write_packed(&paths.header, |w| {
        w.write_all(header.bytes())?;
        w.write_all(&[0; 4])?;
        if paths.voxels.is_none() { voxels(w) } else { Ok(()) }
    })
}

/// Writes a file atomically, gzip-compressed if its name ends in `.gz`.
fn write_packed(path: &Path, content: impl Fn(&mut dyn Write) -> IoResult<()>) -> Result<()> {
    let packed = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    write_atomic(path, |file| if packed { gzip(file, content) } else { content(file) })
}
