//! From a file to a volume.

use super::fields::{Encoding, Fields};
use super::geometry;
use crate::Result;
use crate::voxels::{Coding, Headed, HeaderFields, Packing, Skip, Storage, wrong};
use desam_core::{Grid, LabelVolume, Volume};
use std::path::{Path, PathBuf};

/// Reads intensities as `f32`.
///
/// # Errors
/// [`crate::Error::Io`] when a file cannot be read or its packing is broken, [`crate::Error::Header`] when it is
/// no 3-D image of one number a voxel in one data file, [`crate::Error::Truncated`] when voxels are
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
    const DATA_FIELD: &'static str = "data file";

    fn read(path: &Path) -> Result<Self> {
        Self::read(path)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn grid(&self, path: &Path) -> Result<Grid> {
        geometry::grid(self, path)
    }

    fn data_name(&self) -> Option<&str> {
        self.data_file()
    }

    fn storage(&self, path: &Path) -> Result<Storage> {
        let encoding = self.encoding(path)?;
        let scalar = self.scalar(path)?;
        let coding = match encoding {
            Encoding::Text => Coding::Text,
            _ => Coding::Binary { scalar, big_endian: self.big_endian(path, scalar)? },
        };
        let packing = match encoding {
            Encoding::Gzip => Packing::Deflated,
            _ => Packing::Plain,
        };
        // Lines are skipped in the file as it is, bytes after unpacking.
        let lines = self.skip(path, ["line skip", "lineskip"])?;
        let expected = "a whole number, 0 or more";
        let lines = u64::try_from(lines).map_err(|_| wrong(path, "line skip", lines, expected))?;
        let skip = match self.skip(path, ["byte skip", "byteskip"])? {
            -1 if packing == Packing::Plain => Skip::AllBefore,
            n => Skip::Bytes(u64::try_from(n).map_err(|_| {
                let expected = "0 or more, or -1 where the encoding is raw";
                wrong(path, "byte skip", n, expected)
            })?),
        };
        Ok(Storage { coding, packing, lines, skip })
    }
}
