//! One data file.

use super::collect::Collector;
use super::image::{read_full, truncated};
use super::{Source, VoxelCoding};
use crate::{Error, Result};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

/// Characters of the longest number that a text of voxels may hold.
const LONGEST_NUMBER: u64 = 64;

/// An open data file, or the part of a file after its header.
#[derive(Debug)]
pub(crate) struct VoxelFile {
    pub(crate) path: PathBuf,
    /// Its bytes from where they have not been read yet.
    pub(crate) source: Source,
    /// Bytes to pass over before the first voxel.
    pub(crate) skip: u64,
    /// Bytes of the file that came before; for messages alone.
    pub(crate) before: u64,
}

impl VoxelFile {
    /// Checks that the file can hold `values` of this coding, before memory is allocated for them.
    pub(super) fn expect(&self, values: Option<u64>, coding: VoxelCoding) -> Result<()> {
        let bytes = values.and_then(|n| n.checked_mul(width(coding))).unwrap_or(u64::MAX);
        let least = if coding == VoxelCoding::Text { bytes.saturating_sub(1) } else { bytes };
        let end = self.skip.saturating_add(least);
        let most = self.source.at_most();
        if end > most { Err(self.truncated(end, most)) } else { Ok(()) }
    }

    /// Number of `values` that may be reserved before they have been read.
    pub(super) fn reservable(&self, values: u64, coding: VoxelCoding) -> usize {
        let width = width(coding);
        let bytes = values.saturating_mul(width);
        usize::try_from(self.source.reservable(bytes) / width).unwrap_or(0)
    }

    /// Decodes `values` into the collector and verifies the checksum of compressed data.
    pub(super) fn read<T, F: FnMut(usize, f64) -> Result<T>>(
        mut self,
        values: u64,
        coding: VoxelCoding,
        into: &mut Collector<T, F>,
    ) -> Result<()> {
        let fail = || Error::io("read", &self.path);
        let skipped = std::io::copy(&mut (&mut self.source).take(self.skip), &mut std::io::sink());
        let skipped = skipped.map_err(fail())?;
        if skipped < self.skip {
            let end = self.skip.saturating_add(values.saturating_mul(width(coding)));
            return Err(self.truncated(end, skipped));
        }
        match coding {
            VoxelCoding::Binary { .. } => self.binary(values, coding, into)?,
            VoxelCoding::Text => self.text(values, into)?,
        }
        self.source.check_to_end().map_err(Error::io("read", &self.path))
    }

    fn binary<T, F: FnMut(usize, f64) -> Result<T>>(
        &mut self,
        values: u64,
        coding: VoxelCoding,
        into: &mut Collector<T, F>,
    ) -> Result<()> {
        let VoxelCoding::Binary { scalar, big_endian } = coding else {
            return Ok(());
        };
        let bytes = values.saturating_mul(scalar.bytes() as u64);
        let mut chunk = vec![0; 1 << 16];
        let mut done = 0;
        while done < bytes {
            let want = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(chunk.len());
            let bytes_read = &mut chunk[..want];
            let found =
                read_full(&mut self.source, bytes_read).map_err(Error::io("read", &self.path))?;
            if found < want {
                let end = self.skip.saturating_add(bytes);
                return Err(self.truncated(end, self.skip + done + found as u64));
            }
            into.reserve(want / scalar.bytes())?;
            scalar.decode(big_endian, bytes_read).try_for_each(|value| into.push(value))?;
            done += want as u64;
        }
        Ok(())
    }

    fn text<T, F: FnMut(usize, f64) -> Result<T>>(
        &mut self,
        values: u64,
        into: &mut Collector<T, F>,
    ) -> Result<()> {
        let path = &self.path;
        let mut reader = BufReader::with_capacity(1 << 16, &mut self.source);
        let mut word = Vec::new();
        let (mut done, mut bytes) = (0, 0);
        while done < values {
            word.clear();
            let read = next_word(&mut reader, &mut word).map_err(Error::io("read", path))?;
            bytes += read;
            if word.is_empty() {
                let found = self.before + self.skip + bytes;
                let missing = values.saturating_sub(done).saturating_mul(2).saturating_sub(1);
                return Err(truncated(path, found.saturating_add(missing), found));
            }
            let text = String::from_utf8_lossy(&word);
            let value = text.parse::<f64>().map_err(|_| {
                let expected = "decimal numbers with spaces between them";
                super::wrong(path, "voxels", format!("{text:?}"), expected)
            })?;
            into.reserve(1)?;
            into.push(value)?;
            done += 1;
        }
        Ok(())
    }

    fn truncated(&self, expected: u64, found: u64) -> Error {
        let whole = |bytes: u64| self.before.saturating_add(bytes);
        truncated(&self.path, whole(expected), whole(found))
    }
}

/// Bytes of a value; a decimal number and the space behind it take two at least.
fn width(coding: VoxelCoding) -> u64 {
    match coding {
        VoxelCoding::Binary { scalar, .. } => scalar.bytes() as u64,
        VoxelCoding::Text => 2,
    }
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
