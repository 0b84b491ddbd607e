//! From a file to a volume.

use super::fields::Fields;
use crate::Result;
use crate::voxels::{Coding, Headed, HeaderFields, Packing, Skip, Storage, wrong};
use desam_core::{Grid, LabelVolume, Volume};
use std::path::{Path, PathBuf};

/// Reads intensities as `f32`, as they are stored (ITK applies no `ElementToIntensityFunction`).
///
/// # Errors
/// [`crate::Error::Io`] when a file cannot be read or its packing is broken, [`crate::Error::Header`] when it is
/// no 3-D MetaImage of one number a voxel in one data file, [`crate::Error::Truncated`] when voxels are
/// missing.
pub fn read_volume(path: &Path) -> Result<Volume> {
    Headed::<Fields>::volume(path)
}

/// Reads labels, whole numbers from 0 to 255.
///
/// # Errors
/// As [`read_volume`]; [`crate::Error::NotALabel`] when a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    Headed::<Fields>::labels(path)
}

pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    Headed::<Fields>::files(path)
}

impl HeaderFields for Fields {
    const DATA_FIELD: &'static str = "ElementDataFile";

    fn read(path: &Path) -> Result<Self> {
        Self::read(path)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn grid(&self, path: &Path) -> Result<Grid> {
        self.grid(path)
    }

    fn data_name(&self) -> Option<&str> {
        let name = self.text(&["ElementDataFile"]).unwrap_or_default();
        (!name.eq_ignore_ascii_case("LOCAL")).then_some(name)
    }

    fn storage(&self, path: &Path) -> Result<Storage> {
        let flag = |keys, default| self.flag(path, keys, default);
        let coding = match flag(&["BinaryData"], true)? {
            false => Coding::Text,
            true => Coding::Binary {
                scalar: self.scalar(path)?,
                big_endian: flag(&["BinaryDataByteOrderMSB", "ElementByteOrderMSB"], false)?,
            },
        };
        let packing = match flag(&["CompressedData"], false)? {
            true => Packing::Deflated,
            false => Packing::Plain,
        };
        let skip = match self.number(path, &["HeaderSize"], 0.0)? {
            -1.0 if packing == Packing::Plain => Skip::AllBefore,
            // Of use for a file of its own alone.
            _ if self.data_name().is_none() => Skip::Bytes(0),
            n if (0.0..1e15).contains(&n) => Skip::Bytes(n as u64),
            n => {
                let expected = "0 or more, or -1 where the data is not compressed";
                return Err(wrong(path, "HeaderSize", n, expected));
            }
        };
        Ok(Storage { coding, packing, lines: 0, skip })
    }
}
