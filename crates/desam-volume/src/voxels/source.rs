//! The bytes of a file, decompressed where they are compressed.

use super::VoxelCoding;
use super::members::{Bzip2Members, GzipMembers};
use bzip2::bufread::BzDecoder;
use desam_core::files::open_regular;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::path::Path;

/// Deflate cannot shrink data to less than 1/1032 of its length.
const DEFLATE_RATIO: u64 = 1032;
/// Nor bzip2 to less than this: a block of at most 900 000 bytes holds runs of up to 259 bytes in
/// five, 46.7 MB in all, and takes more than 14 bytes.
const BZIP2_RATIO: u64 = 1 << 22;
/// Bytes after the voxels that are still read to reach a checksum; more than that is left alone.
const SLACK: u64 = 1 << 20;
/// Magic number of a gzip member.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The compression of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileCompression {
    /// Uncompressed.
    Plain,
    /// By gzip where they start like that, else not at all.
    MaybeGzip,
    /// By zlib, or by gzip where they start like that.
    Deflated,
    /// By bzip2.
    Bzip2,
    /// Two hexadecimal digits a byte.
    Hex,
}

/// A byte stream of a file's content, decompressed.
#[derive(Debug)]
pub(crate) enum Source {
    Plain { file: BufReader<File>, bytes: u64 },
    Gzip { members: GzipMembers, packed_bytes: u64 },
    Zlib { decoder: ZlibDecoder<BufReader<File>>, packed_bytes: u64 },
    Bzip2 { members: Bzip2Members, packed_bytes: u64 },
    Hex { file: BufReader<File>, text_bytes: u64 },
}

impl Source {
    /// The content of `path` from byte `start` on.
    pub(crate) fn open(path: &Path, start: u64, packing: FileCompression) -> Result<Self> {
        let mut file = open_regular(path)?;
        let bytes = file.metadata()?.len().saturating_sub(start);
        file.seek(SeekFrom::Start(start))?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        let may_be_gzip = matches!(packing, FileCompression::MaybeGzip | FileCompression::Deflated);
        if may_be_gzip && file.fill_buf()?.starts_with(&GZIP) {
            let members = GzipMembers::new(GzDecoder::new(file));
            return Ok(Self::Gzip { members, packed_bytes: bytes });
        }
        Ok(match packing {
            FileCompression::Plain | FileCompression::MaybeGzip => Self::Plain { file, bytes },
            FileCompression::Deflated => {
                Self::Zlib { decoder: ZlibDecoder::new(file), packed_bytes: bytes }
            }
            FileCompression::Bzip2 => {
                let members = Bzip2Members::new(BzDecoder::new(file));
                Self::Bzip2 { members, packed_bytes: bytes }
            }
            FileCompression::Hex => Self::Hex { file, text_bytes: bytes },
        })
    }

    /// Upper bound of the decompressed size of this file, in bytes.
    pub(crate) fn at_most(&self) -> u64 {
        match self {
            Self::Plain { bytes, .. } => *bytes,
            Self::Gzip { packed_bytes, .. } | Self::Zlib { packed_bytes, .. } => {
                packed_bytes.saturating_mul(DEFLATE_RATIO)
            }
            Self::Bzip2 { packed_bytes, .. } => packed_bytes.saturating_mul(BZIP2_RATIO),
            Self::Hex { text_bytes, .. } => text_bytes / 2,
        }
    }

    /// Bytes before the last `values` of a plain file.
    pub(crate) fn before_last(&self, values: u64, coding: VoxelCoding) -> u64 {
        let VoxelCoding::Binary { scalar, .. } = coding else {
            return 0;
        };
        let bytes = values.checked_mul(scalar.bytes() as u64);
        self.at_most().saturating_sub(bytes.unwrap_or(u64::MAX))
    }

    /// Bytes to reserve for `wanted` before they have been decoded: all if the file is known to hold
    /// them, at most twice the file's size if it is compressed.
    pub(super) fn reservable(&self, wanted: u64) -> u64 {
        match self {
            Self::Plain { bytes, .. } => wanted.min(*bytes),
            Self::Hex { text_bytes, .. } => wanted.min(text_bytes / 2),
            Self::Gzip { packed_bytes, .. }
            | Self::Zlib { packed_bytes, .. }
            | Self::Bzip2 { packed_bytes, .. } => wanted.min(packed_bytes.saturating_mul(2)),
        }
    }

    /// Reads on to the end of the packed data, so that its checksum is compared. Whatever follows
    /// the data is tolerated.
    pub(super) fn check_to_end(&mut self) -> Result<()> {
        let mut rest: Box<dyn Read + '_> = match self {
            Self::Gzip { members, .. } => match members.current() {
                Some(decoder) => Box::new(decoder),
                None => return Ok(()),
            },
            Self::Bzip2 { members, .. } => match members.current() {
                Some(decoder) => Box::new(decoder),
                None => return Ok(()),
            },
            Self::Zlib { decoder, .. } => Box::new(decoder),
            Self::Plain { .. } | Self::Hex { .. } => return Ok(()),
        };
        std::io::copy(&mut rest.by_ref().take(SLACK), &mut std::io::sink())?;
        Ok(())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain { file, .. } => file.read(buffer),
            Self::Gzip { members, .. } => members.read(buffer),
            Self::Zlib { decoder, .. } => decoder.read(buffer),
            Self::Bzip2 { members, .. } => members.read(buffer),
            Self::Hex { file, .. } => read_hex(file, buffer),
        }
    }
}

/// Decodes pairs of hexadecimal digits, white space anywhere between digits passed over.
fn read_hex(file: &mut BufReader<File>, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while let Some(cell) = buffer.get_mut(filled) {
        let Some(high) = next_digit(file)? else { break };
        // Half a byte at the end of the file is none.
        let Some(low) = next_digit(file)? else { break };
        *cell = high << 4 | low;
        filled += 1;
    }
    Ok(filled)
}

/// The next digit's value; `None` at the end of the file.
fn next_digit(file: &mut BufReader<File>) -> Result<Option<u8>> {
    loop {
        let Some(&byte) = file.fill_buf()?.first() else {
            return Ok(None);
        };
        file.consume(1);
        match char::from(byte).to_digit(16) {
            Some(digit) => return Ok(Some(digit as u8)),
            None if byte.is_ascii_whitespace() => {}
            None => {
                let problem = format!("{:?} is no hexadecimal digit", char::from(byte));
                return Err(Error::new(ErrorKind::InvalidData, problem));
            }
        }
    }
}
