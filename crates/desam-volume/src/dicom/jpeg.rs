//! Validation of JPEG headers against the slice before decoding.

use super::element::Problem;
use super::header::SliceFile;
use super::wrong;
use crate::Result;
use dicom_dictionary_std::uids;

/// The transfer syntax of an image, by the first segment that holds its size; for files that name
/// none.
pub(super) fn syntax_of(image: &[u8]) -> &'static str {
    let mut at = 2;
    while let Some(&[0xFF, kind, high, low]) = image.get(at..at + 4) {
        match kind {
            0xC0 => break,
            0xC1 => return uids::JPEG_EXTENDED12_BIT,
            0xC3 => return uids::JPEG_LOSSLESS_SV1,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    uids::JPEG_BASELINE8_BIT
}

/// Checks what a JPEG image says of itself before its pixels against the header of its slice; other
/// images are not looked at. Its size decides how much memory the decoder takes, and the decoder
/// trusts that width and kind of the numbers are those of the slice.
///
/// Of lossless images those of the first predictor without restarts are read, which is what scanners
/// and archives write; the decoder gets others wrong in silence.
pub(super) fn check(file: &SliceFile, image: &[u8]) -> Result<()> {
    if !image.starts_with(&[0xFF, 0xD8]) {
        return Ok(());
    }
    let checked = Header { file, image }.check();
    checked.map_err(|problem| wrong(&file.path, format!("its packed image {problem}")))
}

struct Header<'a> {
    file: &'a SliceFile,
    image: &'a [u8],
}

impl Header<'_> {
    /// Segment after segment up to the first scan.
    fn check(&self) -> Result<(), Problem> {
        let (mut at, mut sized, mut lossless, mut restarts) = (2, false, false, false);
        while let Some(&[0xFF, kind]) = self.image.get(at..at + 2) {
            match kind {
                // Fill bytes, and markers without a length: the decoder skips them and would then find
                // another segment than this walk does.
                0x00 | 0x01 | 0xD0..=0xD9 | 0xFF => {
                    return Err(format!("has the marker {kind:02X} in its header; convert it"));
                }
                0xC4 | 0xC8 | 0xCC => {}
                0xC0..=0xCF => {
                    self.frame(at)?;
                    (sized, lossless) = (true, kind == 0xC3);
                }
                0xDD => restarts = self.word(at + 4) > 0,
                0xDA => {
                    let predictor = self.byte(at + 5 + 2 * self.byte(at + 4));
                    if lossless && (predictor != 1 || restarts) {
                        return Err("is lossless in a way that is not read; convert it".into());
                    }
                    return if sized { Ok(()) } else { Err("has no size".into()) };
                }
                _ => {}
            }
            at += 2 + self.word(at + 2);
        }
        Err("has no pixels".into())
    }

    /// The segment at `at` that tells the size (ITU T.81, B.2.2).
    fn frame(&self, at: usize) -> Result<(), Problem> {
        let (rows, columns) = (self.word(at + 5), self.word(at + 7));
        let SliceFile { rows: height, columns: width, bits_allocated, .. } = *self.file;
        if (rows, columns) != (height, width) {
            return Err(format!(
                "has {rows} rows and {columns} columns, its header {height} and {width}"
            ));
        }
        let (bits, parts) = (self.byte(at + 4), self.byte(at + 9));
        if parts != 1 || bits.next_multiple_of(8) != bits_allocated {
            return Err(format!(
                "has {parts} numbers of {bits} bits a pixel, its header one in {bits_allocated} \
                 bits; convert it"
            ));
        }
        Ok(())
    }

    /// A byte; 0 behind the end.
    fn byte(&self, at: usize) -> usize {
        self.image.get(at).copied().map_or(0, usize::from)
    }

    /// Two bytes, the high one first.
    fn word(&self, at: usize) -> usize {
        self.byte(at) << 8 | self.byte(at + 1)
    }
}
