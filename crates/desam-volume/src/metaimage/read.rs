//! Reading MetaImage files.

use super::fields::Fields;
use crate::Result;
use crate::reading::{Loaded, ReadOptions};
use crate::voxels::{
    Channels, DataFiles, FileCompression, HeaderFields, NumberedNames, Skip, Storage,
    TextHeaderImage, VoxelCoding, data_file, files_of, list_dimension, wrong,
};
use desam_core::{Grid, LabelVolume, Volume};
use std::path::{Path, PathBuf};

/// Reads intensities as `f32`, as they are stored (ITK applies no `ElementToIntensityFunction`).
///
/// # Errors
/// As [`load_volume`], with the default [`ReadOptions`].
pub fn read_volume(path: &Path) -> Result<Volume> {
    load_volume(path, &ReadOptions::default()).map(|loaded| loaded.value)
}

/// Reads labels, whole numbers from 0 to 255.
///
/// # Errors
/// As [`read_volume`]; [`crate::Error::NotALabel`] when a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    load_labels(path, &ReadOptions::default()).map(|loaded| loaded.value)
}

/// Reads intensities as [`read_volume`] does, according to `options`.
///
/// # Errors
/// [`crate::Error::Io`] when a file cannot be read or its packing is broken,
/// [`crate::Error::Header`] when it is no 3-D MetaImage, [`crate::Error::Truncated`] when voxels are
/// missing, [`crate::Error::OutsideFolder`] when its data lie elsewhere,
/// [`crate::Error::SeveralChannels`] and [`crate::Error::NoSuchChannel`] when a channel must be
/// chosen or is not there, [`crate::Error::VolumeTooLarge`] and [`crate::Error::OutOfMemory`] when it
/// is too large.
pub fn load_volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
    TextHeaderImage::<Fields>::volume(path, options)
}

/// Reads labels as [`read_labels`] does, according to `options`.
///
/// # Errors
/// As [`load_volume`]; [`crate::Error::NotALabel`] when a value is no label.
pub fn load_labels(path: &Path, options: &ReadOptions) -> Result<Loaded<LabelVolume>> {
    TextHeaderImage::<Fields>::labels(path, options)
}

pub(crate) fn files(path: &Path, options: &ReadOptions) -> Result<Vec<PathBuf>> {
    TextHeaderImage::<Fields>::files(path, options)
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

    fn channels(&self, path: &Path) -> Result<Channels> {
        self.channels(path)
    }

    fn data_files(&self, path: &Path) -> Result<DataFiles> {
        let name = self.text(&["ElementDataFile"]).unwrap_or_default();
        if self.is_local() {
            return Ok(DataFiles::Local);
        }
        // Each file holds a slice unless the header says otherwise.
        let sizes = self.sizes(path)?;
        if let Some(dimension) = list_dimension(name) {
            let wanted = files_of(&sizes, dimension.unwrap_or(sizes.len() - 1));
            let found = self.listed.len();
            if wanted.is_some_and(|n| n > 0 && n <= found) {
                // MetaIO leaves further names alone.
                let names = self.listed.iter().take(wanted.unwrap_or(found)).cloned();
                return Ok(DataFiles::Several(names.collect()));
            }
            let expected = wanted.map_or("a list of files".into(), |n| format!("{n} of them"));
            return Err(wrong(
                path,
                Self::DATA_FIELD,
                format!("a list of {found} files"),
                &expected,
            ));
        }
        let literal = || Ok(DataFiles::One(name.to_owned()));
        let Some(numbered) = NumberedNames::parse(name, 3) else {
            return literal();
        };
        let wanted = sizes.last().copied().unwrap_or(1);
        let [first, last, step] = [(0, 1), (1, i64::MAX), (2, 1)]
            .map(|(n, default)| numbered.numbers.get(n).copied().unwrap_or(default));
        let names = numbered.names(first, last, step, wanted);
        // A name that only looks like a pattern is a name.
        let is_there = |name: &str| data_file(path, name).exists();
        if is_there(name) && !names.first().is_some_and(|n| is_there(n)) {
            return literal();
        }
        if names.len() != wanted || step == 0 {
            let found = format!("{name:?}, a pattern of {} files", names.len());
            return Err(wrong(path, Self::DATA_FIELD, found, &format!("{wanted} of them")));
        }
        Ok(DataFiles::Several(names))
    }

    fn storage(&self, path: &Path) -> Result<Storage> {
        let flag = |keys, default| self.flag(path, keys, default);
        let coding = if flag(&["BinaryData"], true)? {
            VoxelCoding::Binary {
                scalar: self.scalar(path)?,
                big_endian: flag(&["BinaryDataByteOrderMSB", "ElementByteOrderMSB"], false)?,
            }
        } else {
            VoxelCoding::Text
        };
        let is_compressed = flag(&["CompressedData"], false)?;
        let packing =
            if is_compressed { FileCompression::Deflated } else { FileCompression::Plain };
        let skip = match self.number(path, &["HeaderSize"], 0.0)? {
            -1.0 if packing == FileCompression::Plain => Skip::AllBefore,
            // Only meaningful for a separate data file.
            _ if self.is_local() => Skip::Bytes(0),
            n if (0.0..1e15).contains(&n) => Skip::Bytes(n as u64),
            n => {
                let expected = "0 or more, or -1 where the data is not compressed";
                return Err(wrong(path, "HeaderSize", n, expected));
            }
        };
        Ok(Storage { coding, packing, lines: 0, skip })
    }
}
