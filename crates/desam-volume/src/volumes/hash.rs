//! BLAKE3 hashes of volumes, over all of their files.

use super::{ReadOptions, VolumeFormat};
use crate::{Error, Result, metaimage, nifti, nrrd};
use desam_core::files::open_regular;
use std::path::{Path, PathBuf};

/// The files that hold a volume: the one that names it, and those of its voxels where they are
/// others; the slices of a DICOM series in their order.
///
/// # Errors
/// As [`VolumeFormat::of`], and when a header cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    files_with(path, &ReadOptions::default())
}

/// The files that hold a volume that is read with `options`.
///
/// # Errors
/// As [`files`].
pub fn files_with(path: &Path, options: &ReadOptions) -> Result<Vec<PathBuf>> {
    if let Some(reader) = options.reader_of(path) {
        return reader.files(path).map_err(Error::reader(path));
    }
    match VolumeFormat::of(path)? {
        VolumeFormat::Nifti => nifti::files(path),
        VolumeFormat::MetaImage => metaimage::files(path, options),
        VolumeFormat::Nrrd => nrrd::files(path, options),
        VolumeFormat::Dicom => super::series::files(path),
        VolumeFormat::Png | VolumeFormat::Jpeg | VolumeFormat::Tiff | VolumeFormat::Bmp => {
            Ok(vec![path.to_path_buf()])
        }
    }
}

/// BLAKE3 of a volume's files, in hexadecimal: of the file itself where it is one, of the hashes of
/// all of them otherwise.
///
/// # Errors
/// As [`files`]; [`crate::Error::Io`] when one cannot be read.
pub fn hash(path: &Path) -> Result<String> {
    hash_with(path, &ReadOptions::default())
}

/// The hash of a volume that is read with `options`. It covers all of its files, whatever part of
/// them the options choose.
///
/// # Errors
/// As [`hash`].
pub fn hash_with(path: &Path, options: &ReadOptions) -> Result<String> {
    let files = files_with(path, options)?;
    let hashes: Vec<String> = files.iter().map(|f| hash_file(f)).collect::<Result<_>>()?;
    match hashes.as_slice() {
        [one] => Ok(one.clone()),
        many => {
            let mut hasher = blake3::Hasher::new_derive_key("desam volume of several files v1");
            many.iter().for_each(|h| _ = hasher.update(h.as_bytes()));
            Ok(hasher.finalize().to_hex().to_string())
        }
    }
}

/// BLAKE3 of a file, in hexadecimal, read piece by piece: what seals and manifests name files by.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read.
pub fn hash_file(path: &Path) -> Result<String> {
    let file = open_regular(path).map_err(Error::io("read", path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(Error::io("read", path))?;
    Ok(hasher.finalize().to_hex().to_string())
}
