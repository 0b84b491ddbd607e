//! Formats whose header is text, with the voxels behind it or in a file that it names.

use super::{Coding, Packing, Source, StoredImage, data_file, truncated, wrong};
use crate::{Error, Result};
use desam_core::{Grid, LabelVolume, Volume};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The lines of such a header: what tells one format from another.
pub(crate) trait HeaderFields: Sized {
    /// The field that says where the voxels are.
    const DATA_FIELD: &'static str;

    /// Takes the header of a file apart.
    fn read(path: &Path) -> Result<Self>;

    /// Bytes of the header: where the voxels are if they are behind it.
    fn bytes(&self) -> u64;

    /// Size and place.
    fn grid(&self, path: &Path) -> Result<Grid>;

    /// The name of the voxels' file; `None` where they are behind the header.
    fn data_name(&self) -> Option<&str>;

    /// How the voxels are stored.
    fn storage(&self, path: &Path) -> Result<Storage>;
}

/// How voxels are stored, and what is to be passed over before the first one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storage {
    pub(crate) coding: Coding,
    pub(crate) packing: Packing,
    /// Lines of the file as it is.
    pub(crate) lines: u64,
    pub(crate) skip: Skip,
}

/// Bytes to pass over, after unpacking.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Skip {
    Bytes(u64),
    /// All but those of the voxels, which are the last of a plain file.
    AllBefore,
}

/// A header that has been understood.
pub(crate) struct Headed<F> {
    pub(crate) fields: F,
    pub(crate) grid: Grid,
    /// The file of the voxels where it is another than the header's.
    pub(crate) voxel_file: Option<PathBuf>,
}

impl<F: HeaderFields> Headed<F> {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fields = F::read(path)?;
        let grid = fields.grid(path)?;
        let voxel_file = match fields.data_name() {
            None => None,
            Some(name) if name.starts_with("LIST") || name.contains('%') || name.is_empty() => {
                let expected = "one file (write the slices into one volume first)";
                return Err(wrong(path, F::DATA_FIELD, format!("{name:?}"), expected));
            }
            Some(name) => Some(data_file(path, name)),
        };
        Ok(Self { fields, grid, voxel_file })
    }

    /// Intensities.
    pub(crate) fn volume(path: &Path) -> Result<Volume> {
        Self::open(path)?.image(path)?.volume()
    }

    /// Labels.
    pub(crate) fn labels(path: &Path) -> Result<LabelVolume> {
        Self::open(path)?.image(path)?.labels()
    }

    /// The header's file, and that of the voxels where it is another.
    pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
        Ok([path.to_path_buf()].into_iter().chain(Self::open(path)?.voxel_file).collect())
    }

    /// The voxels, ready to be read.
    fn image(self, header: &Path) -> Result<StoredImage> {
        let Storage { coding, packing, lines, skip } = self.fields.storage(header)?;
        let (path, start) = match self.voxel_file {
            Some(path) => (path, 0),
            None => (header.to_path_buf(), self.fields.bytes()),
        };
        let start = after_lines(&path, start, lines)?;
        let source = Source::open(&path, start, packing).map_err(Error::io("read", &path))?;
        let grid = self.grid;
        let skip = match skip {
            Skip::Bytes(bytes) => bytes,
            Skip::AllBefore => source.before_last(&grid, coding),
        };
        // Neither format has values rescaled: ITK leaves MetaImage's intensity function alone.
        let (slope, intercept) = (1.0, 0.0);
        Ok(StoredImage { path, source, grid, coding, skip, before: start, slope, intercept })
    }
}

/// Where the `lines`-th line after byte `start` begins.
fn after_lines(path: &Path, start: u64, lines: u64) -> Result<u64> {
    let mut at = start;
    if lines == 0 {
        return Ok(at);
    }
    let fail = || Error::io("read", path);
    let mut file = File::open(path).map_err(fail())?;
    file.seek(SeekFrom::Start(start)).map_err(fail())?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    for _ in 0..lines {
        let mut ended = false;
        while !ended {
            let buffer = reader.fill_buf().map_err(fail())?;
            if buffer.is_empty() {
                return Err(truncated(path, at + 1, at));
            }
            let end = buffer.iter().position(|b| *b == b'\n');
            let used = end.map_or(buffer.len(), |e| e + 1);
            ended = end.is_some();
            reader.consume(used);
            at += used as u64;
        }
    }
    Ok(at)
}
