//! Writing MetaImage files.

use super::fields::Fields;
use crate::atomic::write_atomic;
use crate::reading::ReadOptions;
use crate::same_grid::expect_same_grid;
use crate::voxels::{
    TextHeaderImage, ends_with, expect_others, expect_plain_name, spaced, to_lps, with_ending,
};
use crate::{Error, Result};
use desam_core::{Affine, LabelVolume};
use flate2::{Compression, write::ZlibEncoder};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The lines that say where the voxels are; a mask takes them from its image as they are.
const GEOMETRY: [&str; 14] = [
    "NDims",
    "TransformMatrix",
    "Rotation",
    "Orientation",
    "Offset",
    "Position",
    "Origin",
    "CenterOfRotation",
    "AnatomicalOrientation",
    "ElementSpacing",
    "ElementSize",
    "DimSize",
    "DistanceUnits",
    "ObjectSubType",
];

/// Writes `mask` with the geometry of `reference`, line by line as it stands there; voxels are
/// `u8`, packed by zlib. A name ending in `.mhd` gets its data in a file beside it (`.zraw`),
/// written first; every other name holds both. Atomic, file by file.
///
/// # Errors
/// As [`super::read_volume`] for the reference's header; [`Error::GridMismatch`] when the mask lies
/// on another grid; [`Error::Unwritable`] when a file of the mask is one of the reference's;
/// [`Error::Io`] when `out` cannot be written.
pub fn write_mask_like(reference: &Path, out: &Path, mask: &LabelVolume) -> Result<()> {
    // Where the data lie does not matter here: they are not read.
    let options = ReadOptions::default().with_follow_outside(true);
    let opened = TextHeaderImage::<Fields>::open(reference, &options)?;
    expect_same_grid(&opened.grid, mask.grid())?;
    let written = [out.to_path_buf()].into_iter().chain(zraw(out)).collect::<Vec<_>>();
    let read = opened.voxel_files.iter().map(PathBuf::as_path).chain([reference]);
    expect_others(read, &written)?;
    if opened.channels.count > 1 {
        return write_labels(out, mask);
    }
    save(out, opened.fields.kept(&GEOMETRY).collect(), mask.data())
}

/// Writes labels as `u8`, otherwise as [`write_mask_like`].
///
/// # Errors
/// [`Error::Unwritable`] when the affine is not one, [`Error::Io`] when `out` cannot be written.
pub fn write_labels(out: &Path, labels: &LabelVolume) -> Result<()> {
    let grid = labels.grid();
    if !is_usable(&grid.affine) || grid.is_empty() {
        let problem = format!("{:?} voxels, affine {:?}", grid.dims, grid.affine.0);
        return Err(Error::Unwritable { path: out.to_path_buf(), problem });
    }
    let (columns, origin) = to_lps(&grid.affine);
    let spacing = grid.spacing();
    let directions = columns.iter().zip(spacing).flat_map(|(c, s)| c.map(|v| v / s));
    let [i, j, k] = grid.dims;
    let geometry = vec![
        "NDims = 3".to_owned(),
        format!("TransformMatrix = {}", spaced(directions)),
        format!("Offset = {}", spaced(origin)),
        "CenterOfRotation = 0 0 0".to_owned(),
        format!("ElementSpacing = {}", spaced(spacing)),
        format!("DimSize = {i} {j} {k}"),
    ];
    save(out, geometry, labels.data())
}

fn is_usable(affine: &Affine) -> bool {
    affine.0.iter().flatten().all(|v| v.is_finite()) && affine.inverse().is_ok()
}

/// The file of the voxels of a mask named `out`, where the format keeps them apart.
pub(crate) fn data_file_of(out: &Path) -> Option<PathBuf> {
    zraw(out)
}

/// The data file of a header that has one.
fn zraw(out: &Path) -> Option<PathBuf> {
    ends_with(out, ".mhd").then(|| with_ending(out, ".mhd", ".zraw"))
}

/// Checks that a header of this name can name its data file so that ITK reads it: MetaIO takes `%`
/// for a pattern, and a name that starts with `LIST` for a list of files.
///
/// # Errors
/// [`Error::Unwritable`] when it cannot.
pub(crate) fn expect_writable_name(out: &Path) -> Result<()> {
    zraw(out).map_or(Ok(()), |data| data_name(out, &data).map(drop))
}

fn data_name<'a>(out: &Path, data: &'a Path) -> Result<&'a [u8]> {
    let bytes = expect_plain_name(out, data)?;
    let name = String::from_utf8_lossy(bytes);
    if name.contains('%') || name.starts_with("LIST") {
        let problem = format!(
            "its header has to name the data file {name:?}, which MetaImage readers take for a \
             pattern or a list of files; choose a name without %, not starting with LIST, or one \
             in .mha"
        );
        return Err(Error::Unwritable { path: out.to_path_buf(), problem });
    }
    Ok(bytes)
}

fn save(out: &Path, geometry: Vec<String>, voxels: &[u8]) -> Result<()> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let packed = encoder.write_all(voxels).and_then(|()| encoder.finish());
    let packed = packed.map_err(Error::io("pack", out))?;
    let other = zraw(out);
    let place = match &other {
        Some(data) => data_name(out, data)?,
        None => &b"LOCAL"[..],
    };
    let mut lines = vec![
        "ObjectType = Image".to_owned(),
        "BinaryData = True".to_owned(),
        "BinaryDataByteOrderMSB = False".to_owned(),
        "CompressedData = True".to_owned(),
        format!("CompressedDataSize = {}", packed.len()),
    ];
    // Readers want the number of dimensions before what has so many values.
    let (rank, rest): (Vec<_>, Vec<_>) =
        geometry.into_iter().partition(|line| line.to_ascii_lowercase().starts_with("ndims"));
    lines.splice(1..1, rank);
    lines.extend(rest);
    lines.push("ElementType = MET_UCHAR".to_owned());
    lines.push("ElementDataFile = ".to_owned());
    // A file's name need not be UTF-8.
    let header = [lines.join("\n").as_bytes(), place, b"\n"].concat();
    if let Some(path) = &other {
        write_atomic(path, |file| file.write_all(&packed))?;
    }
    write_atomic(out, |file| {
        file.write_all(&header)?;
        if other.is_none() { file.write_all(&packed) } else { Ok(()) }
    })
}
