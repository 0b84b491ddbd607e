//! Deflated data sets (PS3.5, A.5), decompressed within bounds: a stream of a megabyte may hold a
//! gigabyte.

use super::element::Problem;
use super::encoding::Encoding;
use super::fields::{Fields, stored_bytes};
use super::file::{MAX_FILE_BYTES, ReadExtent, no_memory, parse_elements};
use super::rewrite::{PixelData, rewrite};
use flate2::read::DeflateDecoder;
use std::io::Read;
use std::path::Path;

/// Bytes that are inflated before the header is asked how many there should be.
const HEADER_BYTES: usize = 16 << 20;

/// Inflates a data set as far as its header promises pixels.
///
/// # Errors
/// When the stream is damaged, or the header or the pixels are too large.
pub(super) fn inflate(deflated: &[u8], extent: ReadExtent) -> Result<Vec<u8>, Problem> {
    let mut stream = Stream { decoder: DeflateDecoder::new(deflated), out: Vec::new() };
    if !stream.fill(HEADER_BYTES)? && extent == ReadExtent::Whole {
        let needed = needed(&stream.out)?;
        if needed > MAX_FILE_BYTES {
            return Err(format!(
                "inflated, it takes {needed} bytes, more than the {MAX_FILE_BYTES} that are read"
            ));
        }
        stream.fill(needed)?;
    }
    Ok(stream.out)
}

/// Bytes up to the end of the pixels that the header promises.
fn needed(start: &[u8]) -> Result<usize, Problem> {
    let data_set = rewrite(start, 0, Encoding::EXPLICIT_LE)?;
    let Some(PixelData::Native { bytes, .. }) = &data_set.pixels else {
        return Err(format!("its header takes more than {HEADER_BYTES} bytes"));
    };
    let object = parse_elements(&data_set)?;
    let promised = stored_bytes(&Fields::new(&object, Path::new("")));
    Ok(bytes.start.saturating_add(bytes.len().min(promised.unwrap_or(usize::MAX))))
}

struct Stream<'a> {
    decoder: DeflateDecoder<&'a [u8]>,
    out: Vec<u8>,
}

impl Stream<'_> {
    /// Inflates up to `limit` bytes in all; whether the stream has ended.
    fn fill(&mut self, limit: usize) -> Result<bool, Problem> {
        let mut chunk = [0; 1 << 16];
        while self.out.len() < limit {
            let room = chunk.len().min(limit - self.out.len());
            let read = self.decoder.read(&mut chunk[..room]);
            let read = read.map_err(|error| format!("its deflated data are damaged: {error}"))?;
            if read == 0 {
                return Ok(true);
            }
            self.out.try_reserve(read).map_err(|_| no_memory(limit))?;
            self.out.extend_from_slice(&chunk[..read]);
        }
        Ok(false)
    }
}
