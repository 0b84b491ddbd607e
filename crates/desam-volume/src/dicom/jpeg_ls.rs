//! JPEG-LS frames (ISO 14495-1), lossless and near-lossless, by `pure_jpegls`.

use super::element::Problem;
use super::header::SliceFile;
use super::wrong;
use crate::Result;

const FRAME: u8 = 0xF7;
const PRESETS: u8 = 0xF8;
const SCAN: u8 = 0xDA;
/// Largest number of pixels after which the coder halves its statistics: with more, its sums of 32
/// bits might not hold them. The default is 64.
const MAX_RESET: usize = 4096;

/// The pixels of a frame, little endian, as many bytes each as BitsAllocated says.
///
/// # Errors
/// When the image is not what its slice promises, or is damaged.
pub(super) fn decode(file: &SliceFile, frame: &[u8]) -> Result<Vec<u8>> {
    let fail = |problem| wrong(&file.path, format!("its JPEG-LS image {problem}"));
    Headers { file, image: frame }.check().map_err(fail)?;
    let size = [file.columns, file.rows].map(|side| side.min(usize::from(u16::MAX)) as u32);
    let decoded = jpegls::decode(frame, size[0], size[1]);
    let (pixels, ..) = decoded.map_err(|error| fail(format!("is damaged: {error}")))?;
    let width = file.bits_allocated / 8;
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(pixels.len() * width);
    reserved.map_err(|_| fail("does not fit in memory".into()))?;
    for pixel in pixels {
        bytes.extend_from_slice(&u64::from(pixel).to_le_bytes()[..width]);
    }
    Ok(bytes)
}

struct Headers<'a> {
    file: &'a SliceFile,
    image: &'a [u8],
}

impl Headers<'_> {
    /// Segment after segment up to the scan.
    fn check(&self) -> Result<(), Problem> {
        let (mut at, mut has_frame) = (2, false);
        while let Some(&[0xFF, marker]) = self.image.get(at..at + 2) {
            match marker {
                FRAME => {
                    self.frame(at)?;
                    has_frame = true;
                }
                PRESETS if self.number(at + 4, 1) == 1 && self.number(at + 13, 2) > MAX_RESET => {
                    return Err("has statistics that are not read; convert it".into());
                }
                SCAN if has_frame => return Ok(()),
                _ => {}
            }
            at += 2 + self.number(at + 2, 2).max(2);
        }
        Err("has no pixels".into())
    }

    /// The segment that holds the size (C.2.2).
    fn frame(&self, at: usize) -> Result<(), Problem> {
        let (bits, components) = (self.number(at + 4, 1), self.number(at + 9, 1));
        let (rows, columns) = (self.number(at + 5, 2), self.number(at + 7, 2));
        let SliceFile { rows: height, columns: width, bits_allocated, .. } = *self.file;
        if (rows, columns) != (height, width) {
            return Err(format!(
                "has {rows} rows and {columns} columns, its header {height} and {width}"
            ));
        }
        if components != 1 || bits > bits_allocated {
            return Err(format!(
                "has {components} numbers of {bits} bits a pixel, its header one in \
                 {bits_allocated} bits"
            ));
        }
        Ok(())
    }

    /// A number of `bytes` bytes, the highest first; 0 behind the end.
    fn number(&self, at: usize, bytes: usize) -> usize {
        let found = self.image.get(at..at + bytes).unwrap_or_default();
        found.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }
}
