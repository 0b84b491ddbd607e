//! Reading NRRD files.

use super::fields::{Encoding, Fields};
use super::geometry;
use crate::Result;
use crate::reading::{Loaded, ReadOptions};
use crate::voxels::{
    Channels, DataFiles, FileCompression, HeaderFields, NumberedNames, Skip, Storage,
    TextHeaderImage, VoxelCoding, data_file, files_of, list_dimension, wrong,
};
use desam_core::{Grid, LabelVolume, Volume};
use std::path::{Path, PathBuf};

/// Reads intensities as `f32`.
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

/// Reads intensities as `f32`, according to `options`.
///
/// # Errors
/// [`crate::Error::Io`] when a file cannot be read or its packing is broken,
/// [`crate::Error::Header`] when it is no 3-D image, [`crate::Error::Truncated`] when voxels are
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

    fn channels(&self, path: &Path) -> Result<Channels> {
        geometry::channels(self, path)
    }

    fn data_files(&self, path: &Path) -> Result<DataFiles> {
        let Some(name) = self.data_file() else {
            return Ok(DataFiles::Local);
        };
        let sizes = geometry::sizes(self, path)?;
        if let Some(dimension) = list_dimension(name) {
            return several(path, &sizes, self.listed.clone(), dimension);
        }
        // Teem wants three numbers behind a pattern; a name that only looks like one is a name.
        let numbered = NumberedNames::parse(name, 4).filter(|n| n.numbers.len() >= 3);
        let Some(numbered) = numbered.filter(|_| !data_file(path, name).exists()) else {
            return Ok(DataFiles::One(name.to_owned()));
        };
        let number = |n: usize| numbered.numbers.get(n).copied();
        let [first, last, step] = [0, 1, 2].map(|n| number(n).unwrap_or_default());
        if step == 0 {
            return Err(wrong(path, Self::DATA_FIELD, format!("{name:?}"), "a step that is not 0"));
        }
        let names = numbered.names(first, last, step, usize::MAX);
        several(path, &sizes, names, number(3).map(|d| usize::try_from(d).unwrap_or(0)))
    }

    fn storage(&self, path: &Path) -> Result<Storage> {
        let encoding = self.encoding(path)?;
        let scalar = self.scalar(path)?;
        let coding = match encoding {
            Encoding::Text => VoxelCoding::Text,
            _ => VoxelCoding::Binary { scalar, big_endian: self.big_endian(path, scalar)? },
        };
        let packing = match encoding {
            Encoding::Gzip => FileCompression::Deflated,
            Encoding::Bzip2 => FileCompression::Bzip2,
            Encoding::Hex => FileCompression::Hex,
            Encoding::Raw | Encoding::Text => FileCompression::Plain,
        };
        // Lines are skipped in the file as it is, bytes after unpacking.
        let lines = self.skip(path, ["line skip", "lineskip"])?;
        let expected = "a whole number, 0 or more";
        let lines = u64::try_from(lines).map_err(|_| wrong(path, "line skip", lines, expected))?;
        let skip = match self.skip(path, ["byte skip", "byteskip"])? {
            -1 if packing == FileCompression::Plain => Skip::AllBefore,
            n => Skip::Bytes(u64::try_from(n).map_err(|_| {
                let expected = "0 or more, or -1 where the encoding is raw";
                wrong(path, "byte skip", n, expected)
            })?),
        };
        Ok(Storage { coding, packing, lines, skip })
    }
}

/// The files that a header lists. Each holds as many axes as `dimension` says, all but the slowest
/// where it is silent; files of all axes are slabs along the slowest one.
fn several(
    path: &Path,
    sizes: &[usize],
    names: Vec<String>,
    dimension: Option<usize>,
) -> Result<DataFiles> {
    let (rank, found) = (sizes.len(), names.len());
    let (fits, expected) = match dimension.unwrap_or(rank - 1) {
        d if d == rank => {
            let slices = sizes.last().copied().unwrap_or(1);
            let fits = found > 0 && slices.is_multiple_of(found);
            (fits, format!("a number of files that divides {slices}"))
        }
        d => match files_of(sizes, d) {
            Some(wanted) => (wanted == found, format!("{wanted} files")),
            None => (false, format!("files of at most {rank} dimensions")),
        },
    };
    if fits {
        return Ok(DataFiles::Several(names));
    }
    Err(wrong(path, <Fields as HeaderFields>::DATA_FIELD, format!("{found} files"), &expected))
}
