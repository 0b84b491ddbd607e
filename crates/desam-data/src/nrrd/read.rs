//! From a file to a volume.

use super::fields::{Encoding, Fields};
use super::geometry;
use crate::voxels::{Coding, Packing, Source, StoredImage, data_file, truncated, wrong};
use crate::{Error, Result};
use desam_core::{Grid, LabelVolume, Volume};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Reads intensities as `f32`.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read or its packing is broken, [`Error::Header`] when it is
/// no 3-D image of one number a voxel in one data file, [`Error::Truncated`] when voxels are
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
        let grid = geometry::grid(&fields, path)?;
        let voxel_file = match fields.data_file() {
            None => None,
            Some(name) if name.starts_with("LIST") || name.contains('%') || name.is_empty() => {
                let expected = "one file (write the slices into one volume first)";
                return Err(wrong(path, "data file", format!("{name:?}"), expected));
            }
            Some(name) => Some(data_file(path, name)),
        };
        Ok(Self { fields, grid, voxel_file })
    }

    /// The voxels, ready to be read.
    fn image(self, header: &Path) -> Result<StoredImage> {
        let (fields, grid) = (&self.fields, self.grid);
        let encoding = fields.encoding(header)?;
        let scalar = fields.scalar(header)?;
        let coding = match encoding {
            Encoding::Text => Coding::Text,
            _ => Coding::Binary { scalar, big_endian: fields.big_endian(header, scalar)? },
        };
        let packing = match encoding {
            Encoding::Gzip => Packing::Deflated,
            _ => Packing::Plain,
        };
        let (path, header_bytes) = match self.voxel_file {
            Some(path) => (path, 0),
            None => (header.to_path_buf(), fields.bytes),
        };
        // Lines are skipped in the file as it is, bytes after unpacking.
        let lines = fields.skip(header, ["line skip", "lineskip"])?;
        let start = after_lines(&path, header_bytes, lines, header)?;
        let source = Source::open(&path, start, packing).map_err(Error::io("read", &path))?;
        let skip = match fields.skip(header, ["byte skip", "byteskip"])? {
            -1 if packing == Packing::Plain => source.before_last(&grid, coding),
            n => u64::try_from(n).map_err(|_| {
                let expected = "0 or more, or -1 where the encoding is raw";
                wrong(header, "byte skip", n, expected)
            })?,
        };
        let (slope, intercept) = (1.0, 0.0);
        Ok(StoredImage { path, source, grid, coding, skip, before: start, slope, intercept })
    }
}

/// Where the `lines`-th line after byte `start` begins.
fn after_lines(path: &Path, start: u64, lines: i64, header: &Path) -> Result<u64> {
    let expected = "a whole number, 0 or more";
    let lines = u64::try_from(lines).map_err(|_| wrong(header, "line skip", lines, expected))?;
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
