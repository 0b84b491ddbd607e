//! Writing NRRD files.

use super::fields::Fields;
use super::segments::{mask_magic, segment_fields};
use crate::atomic::write_atomic;
use crate::reading::ReadOptions;
use crate::same_grid::expect_same_grid;
use crate::voxels::{
    TextHeaderImage, ends_with, expect_others, expect_plain_name, gzip, to_lps, with_ending,
};
use crate::{Error, Result};
use desam_core::{ClassTable, LabelVolume};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The fields that say where the voxels are; a mask takes them from its image as they are.
const GEOMETRY: [&str; 17] = [
    "dimension",
    "space",
    "space dimension",
    "space units",
    "sizes",
    "spacings",
    "thicknesses",
    "axis mins",
    "axis maxs",
    "centers",
    "centerings",
    "labels",
    "units",
    "kinds",
    "space directions",
    "space origin",
    "measurement frame",
];

/// Writes `mask` with the geometry of `reference`, field by field as it stands there; voxels are
/// `uint8`, packed by gzip. Several classes are named in fields that 3D Slicer reads. A name ending in
/// `.nhdr` gets its data in a file beside it (`.raw.gz`), written first; every other name holds both.
/// Atomic, file by file.
///
/// # Errors
/// As [`super::read_volume`] for the reference's header; [`Error::GridMismatch`] when the mask lies
/// on another grid; [`Error::Unwritable`] when a file of the mask is one of the reference's;
/// [`Error::Io`] when `out` cannot be written.
pub fn write_mask_like(
    reference: &Path,
    out: &Path,
    mask: &LabelVolume,
    classes: &ClassTable,
) -> Result<()> {
    // Where the data lie does not matter here: they are not read.
    let options = ReadOptions::default().with_follow_outside(true);
    let opened = TextHeaderImage::<Fields>::open(reference, &options)?;
    expect_same_grid(&opened.grid, mask.grid())?;
    let written = [out.to_path_buf()].into_iter().chain(raw(out)).collect::<Vec<_>>();
    let read = opened.voxel_files.iter().map(PathBuf::as_path).chain([reference]);
    expect_others(read, &written)?;
    if opened.channels.count > 1 {
        return write_labels(out, mask, classes);
    }
    let magic = mask_magic(&opened.fields.magic, classes);
    let mut lines = vec![magic.to_owned(), "type: uint8".to_owned()];
    lines.extend(opened.fields.kept(&GEOMETRY));
    save(out, lines, mask, classes)
}

/// Writes labels as `uint8`, otherwise as [`write_mask_like`].
///
/// # Errors
/// [`Error::Unwritable`] when the affine is not one, [`Error::Io`] when `out` cannot be written.
pub fn write_labels(out: &Path, labels: &LabelVolume, classes: &ClassTable) -> Result<()> {
    let grid = labels.grid();
    let affine = &grid.affine;
    let usable = affine.0.iter().flatten().all(|v| v.is_finite()) && affine.inverse().is_ok();
    if !usable || grid.is_empty() {
        let problem = format!("{:?} voxels, affine {:?}", grid.dims, affine.0);
        return Err(Error::Unwritable { path: out.to_path_buf(), problem });
    }
    let (columns, origin) = to_lps(affine);
    let vector = |v: [f64; 3]| format!("({},{},{})", v[0], v[1], v[2]);
    let [i, j, k] = grid.dims;
    let lines = vec![
        "NRRD0004".to_owned(),
        "type: uint8".to_owned(),
        "dimension: 3".to_owned(),
        "space: left-posterior-superior".to_owned(),
        format!("sizes: {i} {j} {k}"),
        format!("space directions: {}", columns.map(vector).join(" ")),
        "kinds: domain domain domain".to_owned(),
        format!("space origin: {}", vector(origin)),
    ];
    save(out, lines, labels, classes)
}

/// The file of the voxels of a mask named `out`, where the format keeps them apart.
pub(crate) fn data_file_of(out: &Path) -> Option<PathBuf> {
    raw(out)
}

/// The data file of a header that has one.
fn raw(out: &Path) -> Option<PathBuf> {
    ends_with(out, ".nhdr").then(|| with_ending(out, ".nhdr", ".raw.gz"))
}

/// Checks that a header of this name can name its data file so that Teem, and with it ITK, reads
/// it: it takes `%d` for a pattern, and a name that starts with `LIST` for a list of files.
///
/// # Errors
/// [`Error::Unwritable`] when it cannot.
pub(crate) fn expect_writable_name(out: &Path) -> Result<()> {
    raw(out).map_or(Ok(()), |data| data_name(out, &data).map(drop))
}

fn data_name<'a>(out: &Path, data: &'a Path) -> Result<&'a [u8]> {
    let bytes = expect_plain_name(out, data)?;
    let name = String::from_utf8_lossy(bytes);
    let mut after_percent = name.split('%').skip(1);
    let pattern =
        |rest: &str| rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('d');
    if name.starts_with("LIST") || after_percent.any(pattern) {
        let problem = format!(
            "its header has to name the data file {name:?}, which NRRD readers take for a pattern \
             or a list of files; choose a name without %d, not starting with LIST, or one in .nrrd"
        );
        return Err(Error::Unwritable { path: out.to_path_buf(), problem });
    }
    Ok(bytes)
}

fn save(
    out: &Path,
    mut lines: Vec<String>,
    labels: &LabelVolume,
    classes: &ClassTable,
) -> Result<()> {
    let voxels = labels.data();
    lines.push("encoding: gzip".to_owned());
    lines.extend(segment_fields(labels.grid(), classes));
    let other = raw(out);
    let mut header = (lines.join("\n") + "\n").into_bytes();
    if let Some(path) = &other {
        header.extend([b"data file: ", data_name(out, path)?, b"\n"].concat());
        write_atomic(path, |file| gzip(file, |w| w.write_all(voxels)))?;
    }
    header.push(b'\n');
    write_atomic(out, |file| {
        file.write_all(&header)?;
        if other.is_none() { gzip(file, |w| w.write_all(voxels)) } else { Ok(()) }
    })
}
