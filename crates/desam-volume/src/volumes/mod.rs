//! Reading and writing volumes of any format, which is detected.

mod hash;
mod images;
mod pair;
mod series;
#[cfg(test)]
mod tests;

pub use crate::format::{
    IMAGE_ENDINGS, VOLUME_ENDINGS, VolumeFormat, without_ending, without_image_ending,
};
pub use crate::reading::{Loaded, ReadOptions, VolumeReader};
pub use hash::{files, files_with, hash, hash_file, hash_with};
pub use pair::align_labels;
pub use series::is_series;

use crate::{Error, Result, metaimage, nifti, nrrd, reading};
use desam_core::{ClassTable, Grid, LabelVolume, Volume};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Reads intensities as `f32`, whatever the format.
///
/// # Errors
/// As [`VolumeFormat::of`] and as the reader of the format.
pub fn read_volume(path: &Path) -> Result<Volume> {
    load_volume(path, &ReadOptions::default()).map(|loaded| loaded.value)
}

/// Reads intensities as `f32`, whatever the format, according to `options`, with warnings.
///
/// # Errors
/// As [`read_volume`].
pub fn load_volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
    let loaded = match options.reader_of(path) {
        Some(reader) => reading::load_volume(reader, path, options),
        None => load_own_volume(path, options),
    }?;
    expect_invertible(path, loaded.value.grid())?;
    Ok(loaded)
}

/// Reads a volume of one of this crate's formats.
fn load_own_volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
    match VolumeFormat::of(path)? {
        VolumeFormat::Nifti => nifti::load_volume(path, options),
        VolumeFormat::MetaImage => metaimage::load_volume(path, options),
        VolumeFormat::Nrrd => nrrd::load_volume(path, options),
        VolumeFormat::Dicom => match options.channel {
            // A series has one channel.
            Some(channel @ 1..) => {
                Err(Error::NoSuchChannel { path: path.to_path_buf(), channel, channels: 1 })
            }
            _ => series::load_volume(path, options),
        },
        VolumeFormat::Png | VolumeFormat::Jpeg | VolumeFormat::Tiff | VolumeFormat::Bmp => {
            images::load_volume(path, options)
        }
    }
}

/// Reads labels, whole numbers from 0 to 255, whatever the format.
///
/// # Errors
/// As [`VolumeFormat::of`] and as the reader of the format.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    load_labels(path, &ReadOptions::default()).map(|loaded| loaded.value)
}

/// Reads labels, whatever the format, according to `options`, with warnings.
///
/// # Errors
/// As [`read_labels`].
pub fn load_labels(path: &Path, options: &ReadOptions) -> Result<Loaded<LabelVolume>> {
    read_labels_beside(path, options, None)
}

/// Reads labels as [`load_labels`] does, of an image on the grid `image`. A DICOM segmentation may
/// leave out slices without foreground; only the image's grid says how many there are. The image's
/// channel is not the labels', which have one.
/// Whether the labels lie on that grid is not checked ([`align_labels`] does that): labels of other
/// formats, and segmentations of another image, keep their own grid.
///
/// # Errors
/// As [`load_labels`].
pub fn load_labels_of(
    path: &Path,
    options: &ReadOptions,
    image: &Grid,
) -> Result<Loaded<LabelVolume>> {
    read_labels_beside(path, &options.for_labels(), Some(image))
}

fn read_labels_beside(
    path: &Path,
    options: &ReadOptions,
    image: Option<&Grid>,
) -> Result<Loaded<LabelVolume>> {
    if let Some(reader) = options.reader_of(path) {
        let labels = reading::load_labels(reader, path, options)?;
        expect_invertible(path, labels.value.grid())?;
        return Ok(labels.without_segments(path, options));
    }
    let format = VolumeFormat::of(path)?;
    let labels = match format {
        VolumeFormat::Nifti => nifti::load_labels(path, options)?,
        VolumeFormat::MetaImage => metaimage::load_labels(path, options)?,
        VolumeFormat::Nrrd => nrrd::load_labels(path, options)?,
        VolumeFormat::Dicom => series::load_labels(path, options, image)?,
        VolumeFormat::Png | VolumeFormat::Jpeg | VolumeFormat::Tiff | VolumeFormat::Bmp => {
            images::load_labels(path, options)?
        }
    };
    expect_invertible(path, labels.value.grid())?;
    // The DICOM reader has already checked the chosen segment.
    if format == VolumeFormat::Dicom {
        return Ok(labels);
    }
    Ok(labels.without_segments(path, options))
}

/// Rejects a singular affine, such as one of zeros, and one whose voxels are flat.
fn expect_invertible(path: &Path, grid: &Grid) -> Result<()> {
    let volume = grid.spacing().iter().product::<f64>();
    let flatness = grid.affine.determinant().abs() / volume;
    if flatness.is_finite() && flatness > 1e-9 && grid.affine.inverse().is_ok() {
        return Ok(());
    }
    Err(Error::SingularAffine { path: path.to_path_buf(), affine: grid.affine.0 })
}

/// Writes labels as `u8` in the format that `out` is named after.
///
/// # Errors
/// [`Error::UnknownFormat`] when that is none, and as the writer of the format.
pub fn write_labels(out: &Path, labels: &LabelVolume) -> Result<()> {
    write_labels_of(out, labels, &ClassTable::default())
}

/// Writes labels of classes, with their names where the format has a field for them.
fn write_labels_of(out: &Path, labels: &LabelVolume, classes: &ClassTable) -> Result<()> {
    expect_own_files(out)?;
    match named(out)? {
        VolumeFormat::Nifti => nifti::write_labels(out, labels),
        VolumeFormat::MetaImage => metaimage::write_labels(out, labels),
        VolumeFormat::Nrrd => nrrd::write_labels(out, labels, classes),
        VolumeFormat::Dicom => Err(without_series(out)),
        VolumeFormat::Png | VolumeFormat::Jpeg | VolumeFormat::Tiff | VolumeFormat::Bmp => {
            images::write_labels(out, labels, classes)
        }
    }
}

/// Writes `mask`, which lies on the grid of the volume in `reference`, in the format of the name `out`.
/// If both have the same format, the geometry of the reference's header is kept as it is; otherwise the
/// affine is written: ITK's where a NIfTI header states no orientation, since the other formats are
/// ITK's. A DICOM segmentation can only be written for a DICOM series.
///
/// # Errors
/// [`Error::UnknownFormat`] when `out` is named after no format, and as reader and writer of the
/// formats.
pub fn write_mask_like(reference: &Path, out: &Path, mask: &LabelVolume) -> Result<()> {
    write_mask_like_with(reference, out, mask, &ReadOptions::default(), &ClassTable::default())
}

/// Writes `mask` as [`write_mask_like`] does, of a volume that is read with `options`. Where that is
/// by a registered [`VolumeReader`], the mask is written on its own grid.
///
/// The mask has [`written_label`](ClassTable::written_label) of each of `classes`, and 0 elsewhere.
/// Labels are written as they are, except those of the default table as two-dimensional images, where
/// 1 becomes 255. Names of classes go into the segments of DICOM, and of several classes into NRRD's
/// fields for 3D Slicer; a DICOM segmentation has a segment for each class.
///
/// # Errors
/// As [`write_mask_like`]; [`Error::Unwritable`] when DICOM cannot hold the name of a class or the mask
/// has a label of no class.
pub fn write_mask_like_with(
    reference: &Path,
    out: &Path,
    mask: &LabelVolume,
    options: &ReadOptions,
    classes: &ClassTable,
) -> Result<()> {
    if options.reader_of(reference).is_some() {
        return write_labels_of(out, mask, classes);
    }
    let format = named(out)?;
    expect_own_files(out)?;
    let own = VolumeFormat::of(reference)?;
    if own != format {
        // The other formats are ITK's: the mask lies where ITK places its volume.
        let by_itk = match own {
            VolumeFormat::Nifti => nifti::itk_affine(reference)?,
            _ => None,
        };
        return match by_itk {
            None => write_labels_of(out, mask, classes),
            Some(affine) => {
                let grid = Grid { affine, ..*mask.grid() };
                let moved = LabelVolume::new(grid, mask.clone().into_data())?;
                write_labels_of(out, &moved, classes)
            }
        };
    }
    match format {
        VolumeFormat::Nifti => nifti::write_mask_like(reference, out, mask),
        VolumeFormat::MetaImage => metaimage::write_mask_like(reference, out, mask),
        VolumeFormat::Nrrd => nrrd::write_mask_like(reference, out, mask, classes),
        VolumeFormat::Dicom => series::write_mask_like(reference, out, mask, classes),
        VolumeFormat::Png | VolumeFormat::Jpeg | VolumeFormat::Tiff | VolumeFormat::Bmp => {
            images::write_labels(out, mask, classes)
        }
    }
}

/// Writes a map of one `f32` a voxel, which lies on the grid of the volume in `reference`, as NIfTI; as
/// TIFF if `out` is named so. If the volume is NIfTI too, the geometry of its header is kept as it is,
/// so that every program places the map where it places the volume.
///
/// # Errors
/// As reader and writer of NIfTI; [`Error::Unwritable`] for a TIFF of several slices.
pub fn write_map_like(reference: &Path, out: &Path, map: &Volume) -> Result<()> {
    write_map_like_with(reference, out, map, &ReadOptions::default())
}

/// Writes a map as [`write_map_like`] does, of a volume that is read with `options`.
///
/// # Errors
/// As [`write_map_like`].
pub fn write_map_like_with(
    reference: &Path,
    out: &Path,
    map: &Volume,
    options: &ReadOptions,
) -> Result<()> {
    if VolumeFormat::of_name(out) == Some(VolumeFormat::Tiff) {
        return images::write_map(out, map);
    }
    if options.reader_of(reference).is_some() {
        return nifti::write_volume(out, map);
    }
    match VolumeFormat::of(reference)? {
        VolumeFormat::Nifti => nifti::write_volume_like(reference, out, map),
        _ => nifti::write_volume(out, map),
    }
}

/// Checks that a mask named `out` could be read again, here and by other programs: a header may not be
/// able to name its data file.
///
/// # Errors
/// [`Error::Unwritable`] when it could not.
pub fn expect_writable_name(out: &Path) -> Result<()> {
    expect_own_files(out)?;
    match VolumeFormat::of_name(out) {
        Some(VolumeFormat::MetaImage) => metaimage::expect_writable_name(out),
        Some(VolumeFormat::Nrrd) => nrrd::expect_writable_name(out),
        Some(format) if format.is_two_dimensional() => images::expect_writable_name(out),
        _ => Ok(()),
    }
}

/// Rejects links and special files for a mask of two files: the voxel file lies next to the name `out`,
/// and a link would separate the header from it.
fn expect_own_files(out: &Path) -> Result<()> {
    let is_other = out.symlink_metadata().is_ok_and(|found| !found.is_file());
    if !is_other || mask_files(out).len() < 2 {
        return Ok(());
    }
    let problem = "its voxels go into a separate file next to it, and this is a link or no regular \
                   file; give the name of a regular file, or a format of one file (.nii.gz, .mha, .nrrd)";
    Err(Error::Unwritable { path: out.to_path_buf(), problem: problem.into() })
}

/// Checks that the mask of `volume` can be written as `out`, before the time to compute it is spent.
///
/// # Errors
/// [`Error::UnknownFormat`] when the name promises no format, [`Error::Unwritable`] for a DICOM
/// segmentation of a volume that is no DICOM series, for an image as the mask of a volume, and as
/// [`expect_writable_name`], [`Error::Dicom`] when none could refer to the
/// series, [`Error::DicomNotBuilt`] without the feature `dicom`.
pub fn expect_mask_name(volume: &Path, out: &Path) -> Result<()> {
    match named(out)? {
        VolumeFormat::Dicom if VolumeFormat::of(volume)? != VolumeFormat::Dicom => {
            Err(without_series(out))
        }
        VolumeFormat::Dicom => series::expect_series(volume),
        format if format.is_two_dimensional() => images::expect_mask_name(volume, out),
        _ => expect_writable_name(out),
    }
}

/// File name of a volume's mask in an output folder: the volume's own name, hence its format; NIfTI for
/// a DICOM series, and PNG for a JPEG, whose compression changes values, and a BMP.
pub fn mask_name(volume: &Path) -> OsString {
    mask_name_with(volume, &ReadOptions::default())
}

/// File name of the mask of a volume that is read with `options`: [`mask_name`], but for a volume of a
/// registered [`VolumeReader`] whose name promises no format that masks are written in, NIfTI and the
/// name without the reader's ending.
pub fn mask_name_with(volume: &Path, options: &ReadOptions) -> OsString {
    let writable = |format| format != VolumeFormat::Dicom;
    let name = volume.file_name().and_then(OsStr::to_str);
    if let (Some(_), Some(name)) = (options.reader_of(volume), name) {
        if VolumeFormat::of_name(volume).is_some_and(writable) {
            return name.into();
        }
        return format!("{}.nii.gz", options.without_ending(name).unwrap_or(name)).into();
    }
    // A folder may be given as `.` or `..`, which is no name.
    let whole = if volume.file_name().is_none() { volume.canonicalize().ok() } else { None };
    let volume = whole.as_deref().unwrap_or(volume);
    let mut name = volume.file_name().unwrap_or(volume.as_os_str()).to_os_string();
    match VolumeFormat::of(volume) {
        Ok(VolumeFormat::Dicom) => name.push(".nii.gz"),
        Ok(format) if format.is_two_dimensional() => return images::mask_name(volume, format),
        _ => {}
    }
    name
}

/// The files that a mask named `mask` is written to: that file, and the data file of a format that has
/// one.
pub fn mask_files(mask: &Path) -> Vec<PathBuf> {
    let voxels = match VolumeFormat::of_name(mask) {
        Some(VolumeFormat::Nifti) => return nifti::written_files(mask),
        Some(VolumeFormat::MetaImage) => metaimage::data_file_of(mask),
        Some(VolumeFormat::Nrrd) => nrrd::data_file_of(mask),
        _ => None,
    };
    [mask.to_path_buf()].into_iter().chain(voxels).collect()
}

/// Path of a file next to a mask, named after it: `t2.nii.gz` and `json` give `t2.json`.
pub fn beside(mask: &Path, ending: &str) -> PathBuf {
    let mut name = crate::format::stem_of(mask).to_os_string();
    name.push(".");
    name.push(ending);
    mask.with_file_name(name)
}

fn without_series(out: &Path) -> Error {
    let problem = "a DICOM segmentation refers to the series that it is of, and there is none; name \
                   it .nii.gz, for example";
    Error::Unwritable { path: out.to_path_buf(), problem: problem.into() }
}

fn named(out: &Path) -> Result<VolumeFormat> {
    VolumeFormat::of_name(out).ok_or_else(|| Error::UnknownFormat { path: out.to_path_buf() })
}
