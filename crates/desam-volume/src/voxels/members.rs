//! Multi-member gzip and bzip2 files, as parallel compressors write them.

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result};

/// A decoder of one stream.
pub(crate) trait Member: Read + Sized {
    /// Magic number of a stream.
    const MAGIC: &'static [u8];

    fn new(file: BufReader<File>) -> Self;

    fn into_inner(self) -> BufReader<File>;
}

impl Member for GzDecoder<BufReader<File>> {
    const MAGIC: &'static [u8] = &[0x1f, 0x8b];

    fn new(file: BufReader<File>) -> Self {
        GzDecoder::new(file)
    }

    fn into_inner(self) -> BufReader<File> {
        GzDecoder::into_inner(self)
    }
}

impl Member for BzDecoder<BufReader<File>> {
    const MAGIC: &'static [u8] = b"BZh";

    fn new(file: BufReader<File>) -> Self {
        BzDecoder::new(file)
    }

    fn into_inner(self) -> BufReader<File> {
        BzDecoder::into_inner(self)
    }
}

/// Streams one after the other; what follows the last and does not start like another is ignored.
pub(crate) struct Members<D> {
    decoder: Option<D>,
}

impl<D> fmt::Debug for Members<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("ended", &self.decoder.is_none()).finish()
    }
}

pub(crate) type GzipMembers = Members<GzDecoder<BufReader<File>>>;
pub(crate) type Bzip2Members = Members<BzDecoder<BufReader<File>>>;

impl<D: Member> Members<D> {
    pub(crate) fn new(first: D) -> Self {
        Self { decoder: Some(first) }
    }

    /// The decoder of the stream that is being read, unless the last has ended.
    pub(crate) fn current(&mut self) -> Option<&mut D> {
        self.decoder.as_mut()
    }
}

impl<D: Member> Read for Members<D> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(decoder) = &mut self.decoder {
            let n = decoder.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            let Some(mut file) = self.decoder.take().map(D::into_inner) else {
                break;
            };
            if file.fill_buf()?.starts_with(D::MAGIC) {
                self.decoder = Some(D::new(file));
            }
        }
        Ok(0)
    }
}
