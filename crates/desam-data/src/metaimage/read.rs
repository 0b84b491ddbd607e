//! From a file to a volume.

use super::fields::Fields;
use crate::voxels::{Coding, Packing, Source, StoredImage, data_file, wrong};
use crate::{Error, Result};
use desam_core::{Grid, LabelVolume, Volume};
use std::path::{Path, PathBuf};

/// Reads intensities as `f32`, as they are stored (ITK applies no `ElementToIntensityFunction`).
///
/// # Errors
/// [`Error::Io`] when a file cannot be read or its packing is broken, [`Error::Header`] when it is
/// no 3-D MetaImage of one number a voxel in one data file, [`Error::Truncated`] when voxels are
/// missing.
pub fn read_volume(path: &Path) -> Result<Volume> {
    Opened::new(path)?.image(path)?.volume()
}

/// Reads labels, whole numbers from 0 to 255.
///
/// # Errors
/// As [`read_volume`]; [`Error::NotALabel`] when a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    Opened::new(path)?.image(path)?.labels()
}

/// The header's file, and that of the voxels where it is another.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    Ok([path.to_path_buf()].into_iter().chain(Opened::new(path)?.voxel_file).collect())
}

/// A header that has been understood.
pub(super) struct Opened {
    pub(super) fields: Fields,
    pub(super) grid: Grid,
    /// The file of the voxels where it is another than the header's.
    pub(super) voxel_file: Option<PathBuf>,
}

impl Opened {
    pub(super) fn new(path: &Path) -> Result<Self> {
        let fields = Fields::read(path)?;
        let grid = fields.grid(path)?;
        let name = fields.text(&["ElementDataFile"]).unwrap_or_default();
        let voxel_file = match name {
            _ if name.eq_ignore_ascii_case("LOCAL") => None,
            _ if name.starts_with("LIST") || name.contains('%') || name.is_empty() => {
                let expected = "LOCAL or one file (write the slices into one volume first)";
                return Err(wrong(path, "ElementDataFile", format!("{name:?}"), expected));
            }
            _ => Some(data_file(path, name)),
        };
        Ok(Self { fields, grid, voxel_file })
    }

    /// The voxels, ready to be read.
    fn image(self, header: &Path) -> Result<StoredImage> {
        let (fields, grid) = (&self.fields, self.grid);
        let flag = |keys, default| fields.flag(header, keys, default);
        let coding = match flag(&["BinaryData"], true)? {
            false => Coding::Text,
            true => Coding::Binary {
                scalar: fields.scalar(header)?,
                big_endian: flag(&["BinaryDataByteOrderMSB", "ElementByteOrderMSB"], false)?,
            },
        };
        let packing = match flag(&["CompressedData"], false)? {
            true => Packing::Deflated,
            false => Packing::Plain,
        };
        let (path, start) = match self.voxel_file {
            Some(path) => (path, 0),
            None => (header.to_path_buf(), self.fields.bytes),
        };
        let source = Source::open(&path, start, packing).map_err(Error::io("read", &path))?;
        let skip = match fields.number(header, &["HeaderSize"], 0.0)? {
            -1.0 if packing == Packing::Plain => source.before_last(&grid, coding),
            n if (0.0..1e15).contains(&n) && start == 0 => n as u64,
            // Of use for a file of its own alone.
            _ if start > 0 => 0,
            n => {
                let expected = "0 or more, or -1 where the data is not compressed";
                return Err(wrong(header, "HeaderSize", n, expected));
            }
        };
        // As ITK does, an intensity function is left alone.
        let (slope, intercept) = (1.0, 0.0);
        Ok(StoredImage { path, source, grid, coding, skip, before: start, slope, intercept })
    }
}
