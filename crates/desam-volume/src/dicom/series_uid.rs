//! SeriesInstanceUID of a file that may be broken after it.
//!
//! A file that cannot be parsed matters only if it could be of the series that is read: a truncated
//! slice of another series must not stop the one that was chosen. So the UID is looked up without the
//! parser, in the elements that are still there, and without believing any length.

use super::element::{Elements, Header, ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION};
use super::encoding::Encoding;
use super::file_meta::{self, FileMeta};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use flate2::read::DeflateDecoder;
use std::io::Read;
use std::path::Path;

/// Sequences nested deeper are not followed.
const MAX_NESTING: usize = 16;
/// Longest data set that is inflated in search of the UID.
const MAX_INFLATED: u64 = 4 << 20;

/// The SeriesInstanceUID in the first `limit` bytes of a file; `None` where it is absent, empty or
/// behind something that cannot be skipped.
pub(super) fn series_uid(path: &Path, limit: u64) -> Option<String> {
    let mut bytes = Vec::new();
    desam_core::files::open_regular(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    series_uid_of(&bytes)
}

fn series_uid_of(bytes: &[u8]) -> Option<String> {
    let meta = FileMeta::read(bytes, file_meta::find(bytes).unwrap_or(0)).ok()?;
    let inflated;
    let (bytes, at) = if meta.is_deflated() {
        inflated = inflate(bytes.get(meta.data_set..)?);
        (inflated.as_slice(), 0)
    } else {
        (bytes, meta.data_set)
    };
    // The first element shows whether value representations are written, whatever the syntax says.
    let letters = bytes.get(at + 4..at + 6);
    let encoding = Encoding {
        explicit_vr: letters.is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase)),
        ..Encoding::of(&meta.transfer_syntax)
    };
    let value =
        Walk { elements: Elements { bytes }, encoding }.find(at, tags::SERIES_INSTANCE_UID)?;
    let text = std::str::from_utf8(value).ok()?;
    let uid = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!uid.is_empty()).then(|| uid.to_owned())
}

/// Inflates a deflated data set, as far as the stream is intact.
fn inflate(bytes: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::new();
    // An error ends the data set where the stream is cut; what came before it counts.
    let _ = DeflateDecoder::new(bytes).take(MAX_INFLATED).read_to_end(&mut inflated);
    inflated
}

/// A walk over a data set that may break off anywhere.
#[derive(Clone, Copy)]
struct Walk<'a> {
    elements: Elements<'a>,
    encoding: Encoding,
}

impl<'a> Walk<'a> {
    /// The value of a top-level element.
    fn find(self, mut at: usize, tag: Tag) -> Option<&'a [u8]> {
        loop {
            let header = self.header(at)?;
            if header.tag == tag {
                return self.elements.bytes.get(header.value..self.end(&header)?);
            }
            at = self.skip(&header, 0)?;
        }
    }

    /// The end of an element's value.
    fn skip(self, header: &Header, depth: usize) -> Option<usize> {
        if header.length.is_some() {
            return self.end(header);
        }
        // Inside a value of unknown representation elements are implicit (PS3.5, 6.2.2).
        let is_unknown = header.vr == Some(VR::UN);
        let encoding = if is_unknown { Encoding::IMPLICIT_LE } else { self.encoding };
        let inside = Self { encoding, ..self };
        let mut at = header.value;
        loop {
            let item = inside.header(at)?;
            at = match item.tag {
                SEQUENCE_DELIMITATION => return Some(item.value),
                ITEM if item.length.is_none() => inside.skip_item(item.value, depth + 1)?,
                ITEM => inside.end(&item)?,
                _ => return None,
            };
        }
    }

    /// The end of an item of undefined length whose elements start at `at`.
    fn skip_item(self, mut at: usize, depth: usize) -> Option<usize> {
        if depth > MAX_NESTING {
            return None;
        }
        loop {
            let header = self.header(at)?;
            if header.tag == ITEM_DELIMITATION {
                return Some(header.value);
            }
            at = self.skip(&header, depth)?;
        }
    }

    fn header(self, at: usize) -> Option<Header> {
        self.elements.any_header(at, self.encoding).ok()
    }

    /// The end of a value of defined length, where all of it is there.
    fn end(self, header: &Header) -> Option<usize> {
        self.elements.end_of(header, self.elements.bytes.len()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoding::EXPLICIT_VR_BIG_ENDIAN;
    use super::super::tests::{Draft, SYNTAXES, draft};
    use super::*;

    #[test]
    fn the_uid_is_found_in_every_syntax_and_in_files_that_are_cut() {
        for syntax in SYNTAXES {
            let bytes = Draft { syntax, ..draft(0.0) }.bytes();
            assert_eq!(series_uid_of(&bytes).as_deref(), Some("1.2.3"), "{syntax}");
            // The UID is found exactly where all of it is there.
            let found: Vec<bool> =
                (0..bytes.len()).map(|cut| series_uid_of(&bytes[..cut]).is_some()).collect();
            let first = found.iter().position(|f| *f).unwrap();
            assert!(found[first..].iter().all(|f| *f) && first < bytes.len() - 100, "{syntax}");
            if syntax != EXPLICIT_VR_BIG_ENDIAN {
                assert_eq!(series_uid_of(&bytes[132..]).as_deref(), Some("1.2.3"), "no preamble");
            }
        }
    }

    #[test]
    fn uids_inside_sequences_are_not_the_files_own() {
        // (0008,1115) ReferencedSeriesSequence with a UID of another series: of defined and of
        // undefined length, and as a value of unknown representation, which is implicit inside.
        let inner = b"\x20\x00\x0E\x00UI\x04\x009.9\0";
        let implicit = b"\x20\x00\x0E\x00\x04\0\0\x009.9\0";
        let (open, item) = (b"\x08\x00\x15\x11SQ\0\0\xFF\xFF\xFF\xFF", b"\xFE\xFF\x00\xE0");
        let undefined = b"\xFF\xFF\xFF\xFF";
        let ends = b"\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
        let all_undefined = [&open[..], item, undefined, inner, ends].concat();
        let defined_item = [&open[..], item, b"\x0C\0\0\0", inner, &ends[8..]].concat();
        let mut unknown = [&open[..], item, undefined, implicit, ends].concat();
        unknown[4..6].copy_from_slice(b"UN");
        let defined =
            [&b"\x08\x00\x15\x11SQ\0\0\x14\0\0\0"[..], item, b"\x0C\0\0\0", inner].concat();
        let own = b"\x20\x00\x0E\x00UI\x04\x001.2\0";
        for sequence in [all_undefined, defined_item, unknown, defined] {
            let bytes = [&sequence[..], own].concat();
            assert_eq!(series_uid_of(&bytes).as_deref(), Some("1.2"), "{bytes:x?}");
            assert_eq!(series_uid_of(&sequence), None);
        }
    }

    #[test]
    fn what_cannot_be_skipped_gives_none() {
        let deep = [&b"\x08\x00\x15\x11SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF"[..]]
            .concat()
            .repeat(5000);
        for bytes in [&b""[..], b"DICM", &[0; 200], &[0xFF; 200], &deep, b"<html><body>no</body>"] {
            assert_eq!(series_uid_of(bytes), None);
        }
        // An element that is longer than the file, before the UID.
        let mut long = draft(0.0).bytes();
        long.truncate(long.windows(4).position(|w| w == [0x18, 0, 0x50, 0]).unwrap());
        long.extend(b"\x19\x00\x01\x00OB\0\0\xF0\xFF\xFF\xFF");
        assert_eq!(series_uid_of(&long), None);
    }
}
