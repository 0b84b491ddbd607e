//! Functions of two-dimensional images, or [`Error::ImageNotBuilt`] without the feature `image`.

#[cfg(feature = "image")]
pub(super) use crate::raster::{load_labels, load_volume, write_labels, write_map};
#[cfg(not(feature = "image"))]
pub(super) use without::{load_labels, load_volume, write_labels, write_map};

use super::VolumeFormat;
use crate::{Error, Result};
use std::ffi::OsString;
use std::path::Path;

/// Checks that a mask of `volume` may be the image `out`: one of an image, whose format changes no
/// values.
pub(super) fn expect_mask_name(volume: &Path, out: &Path) -> Result<()> {
    if !VolumeFormat::of(volume)?.is_two_dimensional() {
        return Err(Error::Unwritable {
            path: out.to_path_buf(),
            problem:
                "an image holds one slice, and this is the mask of a volume; name it .nii.gz, for \
                      example"
                    .into(),
        });
    }
    expect_writable_name(out)
}

/// Checks that the format of the image `out` changes no values.
pub(super) fn expect_writable_name(out: &Path) -> Result<()> {
    if VolumeFormat::of_name(out) != Some(VolumeFormat::Jpeg) {
        return Ok(());
    }
    let problem = "JPEG changes the values of a mask; name it .png, for example";
    Err(Error::Unwritable { path: out.to_path_buf(), problem: problem.into() })
}

/// File name of an image's mask in an output folder: TIFF for TIFF, PNG for all others.
pub(super) fn mask_name(image: &Path, format: VolumeFormat) -> OsString {
    let name = image.file_name().unwrap_or(image.as_os_str());
    match format {
        VolumeFormat::Tiff => name.to_os_string(),
        _ => Path::new(name).with_extension("png").into_os_string(),
    }
}

#[cfg(not(feature = "image"))]
mod without {
    use crate::reading::{Loaded, ReadOptions};
    use crate::{Error, Result};
    use desam_core::{ClassTable, LabelVolume, Volume};
    use std::path::Path;

    fn not_built<T>(path: &Path) -> Result<T> {
        Err(Error::ImageNotBuilt { path: path.to_path_buf() })
    }

    pub(in super::super) fn load_volume(path: &Path, _: &ReadOptions) -> Result<Loaded<Volume>> {
        not_built(path)
    }

    pub(in super::super) fn load_labels(
        path: &Path,
        _: &ReadOptions,
    ) -> Result<Loaded<LabelVolume>> {
        not_built(path)
    }

    pub(in super::super) fn write_labels(
        out: &Path,
        _: &LabelVolume,
        _: &ClassTable,
    ) -> Result<()> {
        not_built(out)
    }

    pub(in super::super) fn write_map(out: &Path, _: &Volume) -> Result<()> {
        not_built(out)
    }
}
