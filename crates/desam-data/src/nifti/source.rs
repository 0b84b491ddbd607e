//! The bytes of a file, compressed or not.

use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result};
use std::path::Path;

/// Deflate cannot shrink data to less than 1/1032 of its length.
const LARGEST_RATIO: u64 = 1032;
/// Bytes after the voxels that are still read to reach a checksum; more than that is left alone.
const SLACK: u64 = 1 << 20;

/// A file's content as a stream, unpacked where it is packed.
pub(super) enum Source {
    Plain { file: BufReader<File>, bytes: u64 },
    Packed { members: Members, packed_bytes: u64 },
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 16, file);
        if file.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            let members = Members { decoder: Some(GzDecoder::new(file)) };
            Ok(Self::Packed { members, packed_bytes: bytes })
        } else {
            Ok(Self::Plain { file, bytes })
        }
    }

    /// No more than so many bytes can come out of this file.
    pub(super) fn at_most(&self) -> u64 {
        match self {
            Self::Plain { bytes, .. } => *bytes,
            Self::Packed { packed_bytes, .. } => packed_bytes.saturating_mul(LARGEST_RATIO),
        }
    }

    /// Room to reserve for `wanted` bytes before they have been seen: all of it where the file is
    /// known to hold them, a few times the file's size where it is packed.
    pub(super) fn reservable(&self, wanted: u64) -> u64 {
        match self {
            Self::Plain { bytes, .. } => wanted.min(*bytes),
            Self::Packed { packed_bytes, .. } => wanted.min(packed_bytes.saturating_mul(4)),
        }
    }

    /// Reads on to the end of the packed data, so that its checksum is compared. Whatever follows
    /// the data is tolerated.
    pub(super) fn check_to_end(&mut self) -> Result<()> {
        if let Self::Packed { members: Members { decoder: Some(decoder) }, .. } = self {
            std::io::copy(&mut decoder.take(SLACK), &mut std::io::sink())?;
        }
        Ok(())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain { file, .. } => file.read(buffer),
            Self::Packed { members, .. } => members.read(buffer),
        }
    }
}

/// Gzip members one after the other, as parallel packers write them; what follows the last and
/// does not start like another is not ours.
pub(super) struct Members {
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
            if file.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
                self.decoder = Some(GzDecoder::new(file));
            }
        }
        Ok(0)
    }
}
