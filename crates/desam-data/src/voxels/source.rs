//! The bytes of a file, compressed or not.

use super::Coding;
use desam_core::Grid;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result, Seek, SeekFrom};
use std::path::Path;

/// Deflate cannot shrink data to less than 1/1032 of its length.
const LARGEST_RATIO: u64 = 1032;
/// Bytes after the voxels that are still read to reach a checksum; more than that is left alone.
const SLACK: u64 = 1 << 20;
/// How a gzip member starts.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How the bytes of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Not at all.
    Plain,
    /// By gzip where they start like that, else not at all.
    MaybeGzip,
    /// By zlib, or by gzip where they start like that.
    Deflated,
}

/// A file's content as a stream, unpacked where it is packed.
#[derive(Debug)]
pub(crate) enum Source {
    Plain { file: BufReader<File>, bytes: u64 },
    Gzip { members: Members, packed_bytes: u64 },
    Zlib { decoder: ZlibDecoder<BufReader<File>>, packed_bytes: u64 },
}

impl Source {
    /// The content of `path` from byte `start` on.
    pub(crate) fn open(path: &Path, start: u64, packing: Packing) -> Result<Self> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len().saturating_sub(start);
        file.seek(SeekFrom::Start(start))?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        let gzip = packing != Packing::Plain && file.fill_buf()?.starts_with(&GZIP);
        Ok(if gzip {
            let members = Members { decoder: Some(GzDecoder::new(file)) };
            Self::Gzip { members, packed_bytes: bytes }
        } else if packing == Packing::Deflated {
            Self::Zlib { decoder: ZlibDecoder::new(file), packed_bytes: bytes }
        } else {
            Self::Plain { file, bytes }
        })
    }

    /// No more than so many bytes can come out of this file.
    pub(crate) fn at_most(&self) -> u64 {
        match self {
            Self::Plain { bytes, .. } => *bytes,
            Self::Gzip { packed_bytes, .. } | Self::Zlib { packed_bytes, .. } => {
                packed_bytes.saturating_mul(LARGEST_RATIO)
            }
        }
    }

    /// Bytes before the voxels where these are the last of a plain file.
    pub(crate) fn before_last(&self, grid: &Grid, coding: Coding) -> u64 {
        let Coding::Binary { scalar, .. } = coding else {
            return 0;
        };
        let voxels = grid.dims.iter().try_fold(1_u64, |n, &d| n.checked_mul(d as u64));
        let bytes = voxels.and_then(|n| n.checked_mul(scalar.bytes() as u64));
        self.at_most().saturating_sub(bytes.unwrap_or(u64::MAX))
    }

    /// Room to reserve for `wanted` bytes before they have been seen: all of it where the file is
    /// known to hold them, twice the file's size where it is packed.
    pub(super) fn reservable(&self, wanted: u64) -> u64 {
        match self {
            Self::Plain { bytes, .. } => wanted.min(*bytes),
            Self::Gzip { packed_bytes, .. } | Self::Zlib { packed_bytes, .. } => {
                wanted.min(packed_bytes.saturating_mul(2))
            }
        }
    }

    /// Reads on to the end of the packed data, so that its checksum is compared. Whatever follows
    /// the data is tolerated.
    pub(super) fn check_to_end(&mut self) -> Result<()> {
        match self {
            Self::Gzip { members: Members { decoder: Some(decoder) }, .. } => {
                std::io::copy(&mut decoder.take(SLACK), &mut std::io::sink())?;
            }
            Self::Zlib { decoder, .. } => {
                std::io::copy(&mut decoder.take(SLACK), &mut std::io::sink())?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain { file, .. } => file.read(buffer),
            Self::Gzip { members, .. } => members.read(buffer),
            Self::Zlib { decoder, .. } => decoder.read(buffer),
        }
    }
}

/// Gzip members one after the other, as parallel packers write them; what follows the last and
/// does not start like another is not ours.
#[derive(Debug)]
pub(crate) struct Members {
    decoder: Option<GzDecoder<BufReader<File>>>,
}

impl Read for Members {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(decoder) = &mut self.decoder {
            let n = decoder.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            let Some(mut file) = self.decoder.take().map(GzDecoder::into_inner) else {
                break;
            };
            if file.fill_buf()?.starts_with(&GZIP) {
                self.decoder = Some(GzDecoder::new(file));
            }
        }
        Ok(0)
    }
}
