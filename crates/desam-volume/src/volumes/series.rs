//! DICOM functions, or [`Error::DicomNotBuilt`] without the feature `dicom`.

#[cfg(feature = "dicom")]
pub use crate::dicom::is_dicom_folder as is_series;
#[cfg(feature = "dicom")]
pub(super) use crate::dicom::seg::{expect_series, write_mask_like};
#[cfg(feature = "dicom")]
pub(super) use crate::dicom::{files, load_labels, load_volume};

#[cfg(not(feature = "dicom"))]
pub use without::is_series;
#[cfg(not(feature = "dicom"))]
pub(super) use without::{expect_series, files, load_labels, load_volume, write_mask_like};

#[cfg(not(feature = "dicom"))]
mod without {
    use crate::volumes::{Loaded, ReadOptions};
    use crate::{Error, Result};
    use desam_core::{ClassTable, Grid, LabelVolume, Volume};
    use std::path::{Path, PathBuf};

    /// Whether a folder is a DICOM series: always false in a build without the feature `dicom`.
    ///
    /// # Errors
    /// None.
    pub fn is_series(_: &Path) -> Result<bool> {
        Ok(false)
    }

    fn not_built<T>(path: &Path) -> Result<T> {
        Err(Error::DicomNotBuilt { path: path.to_path_buf() })
    }

    pub(in super::super) fn files(path: &Path) -> Result<Vec<PathBuf>> {
        not_built(path)
    }

    pub(in super::super) fn load_volume(path: &Path, _: &ReadOptions) -> Result<Loaded<Volume>> {
        not_built(path)
    }

    pub(in super::super) fn load_labels(
        path: &Path,
        _: &ReadOptions,
        _: Option<&Grid>,
    ) -> Result<Loaded<LabelVolume>> {
        not_built(path)
    }

    pub(in super::super) fn expect_series(path: &Path) -> Result<()> {
        not_built(path)
    }

    pub(in super::super) fn write_mask_like(
        _: &Path,
        out: &Path,
        _: &LabelVolume,
        _: &ClassTable,
    ) -> Result<()> {
        not_built(out)
    }
}
