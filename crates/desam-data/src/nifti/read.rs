//! From a file to a volume.

use super::header::{Facts, HEADER_BYTES, RawHeader, Voxel};
use super::source::Source;
use crate::{Error, Result};
use desam_core::{LabelVolume, Volume};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Reads intensities as `f32`, the header's slope and intercept applied.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read or its packing is broken, [`Error::NiftiHeader`]
/// when it is no 3-D NIfTI-1 image, [`Error::NiftiTruncated`] when voxels are missing.
pub fn read_volume(path: &Path) -> Result<Volume> {
    let mut open = Opened::new(path)?;
    let data = open.voxels(|_, value| Ok(value as f32))?;
    Ok(Volume::new(open.facts.grid, data)?)
}

/// Reads labels: whole numbers from 0 to 255 once slope and intercept are applied.
///
/// # Errors
/// As [`read_volume`]; [`Error::NotALabel`] when a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    let mut open = Opened::new(path)?;
    let [width, height, _] = open.facts.grid.dims;
    let data = open.voxels(|index, value| {
        let whole = value.round();
        // A slope leaves dust on values that were whole.
        if (value - whole).abs() < 1e-3 && (0.0..=255.0).contains(&whole) {
            return Ok(whole as u8);
        }
        let voxel = [index % width, index / width % height, index / (width * height)];
        Err(Error::NotALabel { path: path.to_path_buf(), voxel, value })
    })?;
    Ok(LabelVolume::new(open.facts.grid, data)?)
}

/// A file whose header has been understood.
pub(super) struct Opened<'a> {
    path: &'a Path,
    source: Source,
    pub(super) header: RawHeader,
    pub(super) facts: Facts,
}

impl<'a> Opened<'a> {
    pub(super) fn new(path: &'a Path) -> Result<Self> {
        let mut source = Source::open(path).map_err(Error::io("read", path))?;
        let mut bytes = [0; HEADER_BYTES];
        let found = read_full(&mut source, &mut bytes).map_err(Error::io("read", path))?;
        if found < HEADER_BYTES {
            return Err(truncated(path, HEADER_BYTES as u64, found as u64));
        }
        let header = RawHeader::new(bytes, path)?;
        let facts = Facts::read(&header, path)?;
        Ok(Self { path, source, header, facts })
    }

    /// All voxels, each through `convert` with its index.
    fn voxels<T>(&mut self, mut convert: impl FnMut(usize, f64) -> Result<T>) -> Result<Vec<T>> {
        let (path, voxel) = (self.path, self.facts.voxel);
        let start = self.facts.data_start;
        let bytes = self.facts.data_bytes().unwrap_or(u64::MAX);
        let end = start.saturating_add(bytes);
        // A header that promises more than the file could hold is caught before any allocation.
        if end > self.source.at_most() {
            return Err(truncated(path, end, self.source.at_most()));
        }
        let fail = || Error::io("read", path);
        let gap = start.saturating_sub(HEADER_BYTES as u64);
        let skipped = std::io::copy(&mut (&mut self.source).take(gap), &mut std::io::sink());
        let skipped = skipped.map_err(fail())?;
        if skipped < gap {
            return Err(truncated(path, end, HEADER_BYTES as u64 + skipped));
        }
        let width = voxel.bytes() as u64;
        let mut values = Vec::with_capacity((self.source.reservable(bytes) / width) as usize);
        let mut chunk = vec![0; 1 << 16];
        let (mut done, mut index) = (0, 0);
        while done < bytes {
            let want = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(chunk.len());
            let piece = &mut chunk[..want];
            let found = read_full(&mut self.source, piece).map_err(fail())?;
            if found < want {
                return Err(truncated(path, end, start + done + found as u64));
            }
            let stored = Stored { voxel, big_endian: self.header.is_big_endian() };
            for value in stored.decode(piece) {
                let scaled = value * self.facts.slope + self.facts.intercept;
                values.push(convert(index, scaled)?);
                index += 1;
            }
            done += want as u64;
        }
        self.source.check_to_end().map_err(fail())?;
        Ok(values)
    }
}

/// How the voxels of a file are stored.
#[derive(Clone, Copy)]
struct Stored {
    voxel: Voxel,
    big_endian: bool,
}

impl Stored {
    /// Whole voxels to numbers.
    fn decode(self, bytes: &[u8]) -> impl Iterator<Item = f64> + '_ {
        bytes.chunks_exact(self.voxel.bytes()).map(move |b| {
            let mut le = [0; 8];
            le[..b.len()].copy_from_slice(b);
            if self.big_endian {
                le[..b.len()].reverse();
            }
            let whole = u64::from_le_bytes(le);
            match self.voxel {
                Voxel::U8 | Voxel::U16 | Voxel::U32 | Voxel::U64 => whole as f64,
                Voxel::I8 => f64::from(whole as u8 as i8),
                Voxel::I16 => f64::from(whole as u16 as i16),
                Voxel::I32 => f64::from(whole as u32 as i32),
                Voxel::I64 => whole as i64 as f64,
                Voxel::F32 => f64::from(f32::from_bits(whole as u32)),
                Voxel::F64 => f64::from_bits(whole),
            }
        })
    }
}

fn truncated(path: &Path, expected: u64, found: u64) -> Error {
    Error::NiftiTruncated { path: path.to_path_buf(), expected, found }
}

/// Fills as much of `buffer` as the source holds. A packed stream that stops in the middle counts
/// as ended there, so that both kinds of file are called truncated.
fn read_full(source: &mut Source, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
