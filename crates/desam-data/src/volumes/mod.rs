//! Volumes of any format: which one a file is, and reading and writing without having to know.

mod format;
mod hash;
mod options;
mod pair;
mod series;
#[cfg(test)]
mod tests;

pub(crate) use format::without_ending;
pub use format::{VOLUME_ENDINGS, VolumeFormat};
pub use hash::{files, files_with, hash, hash_with};
pub use options::{Loaded, ReadOptions};
pub use pair::align_labels;
pub use series::is_series;

use crate::{Error, Result, metaimage, nifti, nrrd};
use desam_core::{Grid, LabelVolume, Volume, VolumeReader};
use std::path::{Path, PathBuf};

/// Reads any volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnyReader;

impl VolumeReader for AnyReader {
    fn accepts(&self, path: &Path) -> bool {
        VolumeFormat::of_name(path).is_some()
    }

    fn read(&self, path: &Path) -> desam_core::Result<Volume> {
        read_volume(path).map_err(desam_core::Error::external)
    }

    fn read_labels(&self, path: &Path) -> desam_core::Result<LabelVolume> {
        read_labels(path).map_err(desam_core::Error::external)
    }
}

/// Reads intensities as `f32`, whatever the format.
///
/// # Errors
/// As [`VolumeFormat::of`] and as the reader of the format.
pub fn read_volume(path: &Path) -> Result<Volume> {
    load_volume(path, &ReadOptions::default()).map(|loaded| loaded.value)
}

/// Reads intensities as `f32`, whatever the format, in the way that `options` ask for, and says what
/// there is to warn about.
///
/// # Errors
/// As [`read_volume`].
pub fn load_volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
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
    }
}

/// Reads labels, whole numbers from 0 to 255, whatever the format.
///
/// # Errors
/// As [`VolumeFormat::of`] and as the reader of the format.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    load_labels(path, &ReadOptions::default()).map(|loaded| loaded.value)
}

/// Reads labels, whatever the format, in the way that `options` ask for, and says what there is to
/// warn about.
///
/// # Errors
/// As [`read_labels`].
pub fn load_labels(path: &Path, options: &ReadOptions) -> Result<Loaded<LabelVolume>> {
    match VolumeFormat::of(path)? {
        VolumeFormat::Nifti => nifti::load_labels(path, options),
        VolumeFormat::MetaImage => metaimage::load_labels(path, options),
        VolumeFormat::Nrrd => nrrd::load_labels(path, options),
        VolumeFormat::Dicom => series::load_labels(path, options),
    }
}

/// Writes labels as `u8` in the format that `out` is named after.
///
/// # Errors
/// [`Error::UnknownFormat`] when that is none, and as the writer of the format.
pub fn write_labels(out: &Path, labels: &LabelVolume) -> Result<()> {
    match named(out)? {
        VolumeFormat::Nifti => nifti::write_labels(out, labels),
        VolumeFormat::MetaImage => metaimage::write_labels(out, labels),
        VolumeFormat::Nrrd => nrrd::write_labels(out, labels),
        VolumeFormat::Dicom => Err(without_series(out)),
    }
}

/// Writes `mask`, which lies on the grid of the volume in `reference`, in the format that `out` is
/// named after. Where that is the reference's, what its header says of the geometry stays as it
/// is; elsewhere the affine is written anew: ITK's where a NIfTI header states no orientation, since
/// the other formats are ITK's. Of a DICOM series it may be a segmentation, of other
/// volumes not.
///
/// # Errors
/// [`Error::UnknownFormat`] when `out` is named after no format, and as reader and writer of the
/// formats.
pub fn write_mask_like(reference: &Path, out: &Path, mask: &LabelVolume) -> Result<()> {
    let format = named(out)?;
    let own = VolumeFormat::of(reference)?;
    if own != format {
        // Both are ITK's formats: a mask lies where ITK places its volume.
        let by_itk = match own {
            VolumeFormat::Nifti => nifti::itk_affine(reference)?,
            _ => None,
        };
        return match by_itk {
            None => write_labels(out, mask),
            Some(affine) => {
                let grid = Grid { affine, ..*mask.grid() };
                write_labels(out, &LabelVolume::new(grid, mask.clone().into_data())?)
            }
        };
    }
    match format {
        VolumeFormat::Nifti => nifti::write_mask_like(reference, out, mask),
        VolumeFormat::MetaImage => metaimage::write_mask_like(reference, out, mask),
        VolumeFormat::Nrrd => nrrd::write_mask_like(reference, out, mask),
        VolumeFormat::Dicom => series::write_mask_like(reference, out, mask),
    }
}

/// Writes a map of one number a voxel, which lies on the grid of the volume in `reference`, as NIfTI
/// of `f32`. Where the volume is NIfTI too, its header's geometry stays as it is, so that a reader
/// that places the volume in a way of its own places the map there as well.
///
/// # Errors
/// As reader and writer of NIfTI.
pub fn write_map_like(reference: &Path, out: &Path, map: &Volume) -> Result<()> {
    match VolumeFormat::of(reference)? {
        VolumeFormat::Nifti => nifti::write_volume_like(reference, out, map),
        _ => nifti::write_volume(out, map),
    }
}

/// Whether a mask named `out` could be read again, by us and by the programs that its format is
/// shared with: a header may not be able to name its data file.
///
/// # Errors
/// [`Error::Unwritable`] when it could not.
pub fn expect_writable_name(out: &Path) -> Result<()> {
    match VolumeFormat::of_name(out) {
        Some(VolumeFormat::MetaImage) => metaimage::expect_writable_name(out),
        Some(VolumeFormat::Nrrd) => nrrd::expect_writable_name(out),
        _ => Ok(()),
    }
}

/// Whether the mask of `volume` can be written under the name `out`: to be asked before the mask is
/// made, which takes longer.
///
/// # Errors
/// [`Error::UnknownFormat`] when the name promises no format, [`Error::Unwritable`] for a DICOM
/// segmentation of a volume that is no DICOM series and as [`expect_writable_name`], [`Error::Dicom`] when none could refer to the
/// series, [`Error::DicomNotBuilt`] without the feature `dicom`.
pub fn expect_mask_name(volume: &Path, out: &Path) -> Result<()> {
    match named(out)? {
        VolumeFormat::Dicom if VolumeFormat::of(volume)? != VolumeFormat::Dicom => {
            Err(without_series(out))
        }
        VolumeFormat::Dicom => series::expect_series(volume),
        _ => expect_writable_name(out),
    }
}

/// What the mask of a volume is named in a folder of masks: as the volume, so that it has its
/// format; a DICOM series' is a NIfTI file.
pub fn mask_name(volume: &Path) -> String {
    let name = volume.file_name().unwrap_or(volume.as_os_str()).to_string_lossy().into_owned();
    match VolumeFormat::of(volume) {
        Ok(VolumeFormat::Dicom) => format!("{name}.nii.gz"),
        _ => name,
    }
}

/// A file beside the mask `mask`, named after it: `t2.nii.gz` and `json` give `t2.json`.
pub fn beside(mask: &Path, ending: &str) -> PathBuf {
    let name = mask.file_name().unwrap_or(mask.as_os_str()).to_string_lossy();
    let stem = without_ending(&name).or_else(|| name.strip_suffix(".dcm")).unwrap_or(&name);
    mask.with_file_name(format!("{stem}.{ending}"))
}

fn without_series(out: &Path) -> Error {
    let problem = "a DICOM segmentation refers to the series that it is of, and there is none; name \
                   it .nii.gz, for example";
    Error::Unwritable { path: out.to_path_buf(), problem: problem.into() }
}

fn named(out: &Path) -> Result<VolumeFormat> {
    VolumeFormat::of_name(out).ok_or_else(|| Error::UnknownFormat { path: out.to_path_buf() })
}
