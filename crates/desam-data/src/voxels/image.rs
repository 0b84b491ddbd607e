//! From a file whose header has been understood to a volume.

use super::{Scalar, Source};
use crate::{Error, Result};
use desam_core::{Grid, LabelVolume, Volume};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Characters of the longest number that a text of voxels may hold.
const LONGEST_NUMBER: u64 = 64;

/// How voxels are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Fixed width.
    Binary { scalar: Scalar, big_endian: bool },
    /// Decimal numbers between spaces, commas or line ends.
    Text,
}

/// An image whose header has been read and whose voxels have not.
///
/// Reading takes memory for the values (`f32` or `u8`) of as many voxels as the file really holds,
/// up to three times that while the room for them grows, and 128 KiB beside it: at most 12 bytes
/// a voxel that is there, whatever the header promises.
#[derive(Debug)]
pub(crate) struct StoredImage {
    /// The file that holds the voxels.
    pub(crate) path: PathBuf,
    /// Its bytes from where they have not been read yet.
    pub(crate) source: Source,
    pub(crate) grid: Grid,
    pub(crate) coding: Coding,
    /// Bytes to pass over before the first voxel.
    pub(crate) skip: u64,
    /// Bytes of the file that came before; for messages alone.
    pub(crate) before: u64,
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
}

impl StoredImage {
    /// Intensities.
    pub(crate) fn volume(mut self) -> Result<Volume> {
        let data = self.values(|_, value| Ok(value as f32))?;
        Ok(Volume::new(self.grid, data)?)
    }

    /// Labels: whole numbers from 0 to 255.
    pub(crate) fn labels(mut self) -> Result<LabelVolume> {
        let [width, height, _] = self.grid.dims;
        let path = self.path.clone();
        let data = self.values(|index, value| {
            label_of(value).ok_or_else(|| {
                let voxel = [index % width, index / width % height, index / (width * height)];
                Error::NotALabel { path: path.clone(), voxel, value }
            })
        })?;
        Ok(LabelVolume::new(self.grid, data)?)
    }

    /// Voxels there should be; `None` where no machine could hold them as `f32`.
    fn voxels(&self) -> Option<u64> {
        let count = self.grid.dims.iter().try_fold(1_u64, |n, &d| n.checked_mul(d as u64))?;
        (count.checked_mul(4)? <= isize::MAX as u64).then_some(count)
    }

    /// All voxels, each through `convert` with its index.
    fn values<T>(&mut self, mut convert: impl FnMut(usize, f64) -> Result<T>) -> Result<Vec<T>> {
        let count = self.voxels();
        // A number and the space behind it take two bytes, but for the last one's.
        let width = match self.coding {
            Coding::Binary { scalar, .. } => scalar.bytes() as u64,
            Coding::Text => 2,
        };
        let bytes = count.and_then(|n| n.checked_mul(width)).unwrap_or(u64::MAX);
        let least = if self.coding == Coding::Text { bytes.saturating_sub(1) } else { bytes };
        let end = self.skip.saturating_add(least);
        // A header that promises more than the file could hold is caught before any allocation.
        if end > self.source.at_most() {
            return Err(self.truncated(end, self.source.at_most()));
        }
        let fail = || Error::io("read", &self.path);
        let skipped = std::io::copy(&mut (&mut self.source).take(self.skip), &mut std::io::sink());
        let skipped = skipped.map_err(fail())?;
        if skipped < self.skip {
            return Err(self.truncated(end, skipped));
        }
        let room = usize::try_from(self.source.reservable(bytes) / width).unwrap_or(0);
        let mut values = Vec::with_capacity(room);
        let (slope, intercept) = (self.slope, self.intercept);
        let mut push = |value: f64| -> Result<()> {
            values.push(convert(values.len(), value * slope + intercept)?);
            Ok(())
        };
        match self.coding {
            Coding::Binary { scalar, big_endian } => {
                self.binary(bytes, |b| scalar.decode(big_endian, b).try_for_each(&mut push))?;
            }
            Coding::Text => self.text(count.unwrap_or(u64::MAX), push)?,
        }
        self.source.check_to_end().map_err(Error::io("read", &self.path))?;
        Ok(values)
    }

    fn binary(&mut self, bytes: u64, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut chunk = vec![0; 1 << 16];
        let mut done = 0;
        while done < bytes {
            let want = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(chunk.len());
            let piece = &mut chunk[..want];
            let found =
                read_full(&mut self.source, piece).map_err(Error::io("read", &self.path))?;
            if found < want {
                let end = self.skip.saturating_add(bytes);
                return Err(self.truncated(end, self.skip + done + found as u64));
            }
            each(piece)?;
            done += want as u64;
        }
        Ok(())
    }

    fn text(&mut self, count: u64, mut each: impl FnMut(f64) -> Result<()>) -> Result<()> {
        let path = &self.path;
        let mut reader = BufReader::with_capacity(1 << 16, &mut self.source);
        let mut word = Vec::new();
        let (mut done, mut bytes) = (0, 0);
        while done < count {
            word.clear();
            let read = next_word(&mut reader, &mut word).map_err(Error::io("read", path))?;
            bytes += read;
            if word.is_empty() {
                let found = self.before + self.skip + bytes;
                return Err(truncated(path, found + 2 * (count - done) - 1, found));
            }
            let text = String::from_utf8_lossy(&word);
            let value = text.parse::<f64>().map_err(|_| {
                let expected = "decimal numbers with spaces between them";
                super::wrong(path, "voxels", format!("{text:?}"), expected)
            })?;
            each(value)?;
            done += 1;
        }
        Ok(())
    }

    fn truncated(&self, expected: u64, found: u64) -> Error {
        let whole = |bytes: u64| self.before.saturating_add(bytes);
        truncated(&self.path, whole(expected), whole(found))
    }
}

/// The label that a value is: a whole number from 0 to 255.
pub(crate) fn label_of(value: f64) -> Option<u8> {
    let whole = value.round();
    // A slope leaves dust on values that were whole.
    ((value - whole).abs() < 1e-3 && (0.0..=255.0).contains(&whole)).then_some(whole as u8)
}

/// The next word of a text, without what separates words; empty at the end. Gives the bytes read.
/// A word that is too long to be a number ends early.
fn next_word(reader: &mut impl BufRead, word: &mut Vec<u8>) -> std::io::Result<u64> {
    let mut read = 0;
    while (word.len() as u64) < LONGEST_NUMBER {
        let Some(&byte) = reader.fill_buf()?.first() else {
            break;
        };
        let space = byte.is_ascii_whitespace() || byte == b',';
        if space && !word.is_empty() {
            break;
        }
        if !space {
            word.push(byte);
        }
        reader.consume(1);
        read += 1;
    }
    Ok(read)
}

/// An [`Error::Truncated`].
pub(crate) fn truncated(path: &Path, expected: u64, found: u64) -> Error {
    Error::Truncated { path: path.to_path_buf(), expected, found }
}

/// Fills as much of `buffer` as the source holds. A packed stream that stops in the middle counts
/// as ended there, so that both kinds of file are called truncated.
pub(crate) fn read_full(source: &mut Source, buffer: &mut [u8]) -> std::io::Result<usize> {
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
