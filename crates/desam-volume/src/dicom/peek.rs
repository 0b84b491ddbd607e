//! The SeriesInstanceUID of a file that may be broken behind it.
//!
//! A file that cannot be parsed matters only if it could be of the series that is read: a truncated
//! slice of another series must not stop the one that was chosen. So the UID is looked up without the
//! parser, in the elements that are still there, and without believing any length.

use flate2::read::DeflateDecoder;
use std::io::Read;
use std::path::Path;

/// Sequences nested deeper are not followed.
const MAX_NESTING: usize = 16;
/// Longest data set that is inflated in search of the UID.
const MAX_INFLATED: u64 = 4 << 20;
const UNDEFINED: u32 = u32::MAX;

const SERIES: u32 = 0x0020_000E;
const TRANSFER_SYNTAX: u32 = 0x0002_0010;
const ITEM: u32 = 0xFFFE_E000;
const ITEM_END: u32 = 0xFFFE_E00D;
const SEQUENCE_END: u32 = 0xFFFE_E0DD;

/// Value representations with a length of 16 bits (PS3.5, 7.1.2); all others have one of 32.
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN",
    b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
];

/// The SeriesInstanceUID in the first `limit` bytes of a file; `None` where it is absent, empty or
/// behind something that cannot be skipped.
pub(super) fn series_uid(path: &Path, limit: u64) -> Option<String> {
    let mut bytes = Vec::new();
    desam_core::files::open_regular(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    series_uid_of(&bytes)
}

fn series_uid_of(bytes: &[u8]) -> Option<String> {
    let start = match bytes {
        [b'D', b'I', b'C', b'M', ..] => 4,
        _ if bytes.get(128..132) == Some(b"DICM") => 132,
        _ => 0,
    };
    let meta = Elements { bytes, explicit: true, big_endian: false };
    let mut at = start;
    let mut syntax = None;
    while meta.u16(at) == Some(2) {
        let element = meta.element(at)?;
        let value = meta.value(&element)?;
        if element.tag == TRANSFER_SYNTAX {
            syntax = Some(trimmed(value)?);
        }
        at = element.value + value.len();
    }
    let inflated;
    let mut data = meta;
    match syntax.as_deref() {
        Some("1.2.840.10008.1.2.2") => data.big_endian = true,
        Some("1.2.840.10008.1.2.1.99") => {
            inflated = inflate(bytes.get(at..)?);
            at = 0;
            data.bytes = &inflated;
        }
        _ => {}
    }
    // The first element shows whether value representations are written, whatever the syntax says.
    data.explicit = data.bytes.get(at + 4..at + 6).is_some_and(is_vr);
    data.find(at, SERIES)
}

/// What of a deflated data set can be inflated: all of it, or the part before it breaks off.
fn inflate(bytes: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::new();
    // An error ends the data set where the stream is cut; what came before it counts.
    let _ = DeflateDecoder::new(bytes).take(MAX_INFLATED).read_to_end(&mut inflated);
    inflated
}

/// The header of an element.
struct Element {
    tag: u32,
    vr: [u8; 2],
    length: u32,
    /// Where its value starts.
    value: usize,
}

/// A data set in one of the plain transfer syntaxes.
#[derive(Clone, Copy)]
struct Elements<'a> {
    bytes: &'a [u8],
    explicit: bool,
    big_endian: bool,
}

impl<'a> Elements<'a> {
    /// The text of a top-level element.
    fn find(&self, mut at: usize, tag: u32) -> Option<String> {
        loop {
            let element = self.element(at)?;
            if element.tag == tag {
                return trimmed(self.value(&element)?).filter(|uid| !uid.is_empty());
            }
            at = self.skip(&element, 0)?;
        }
    }

    /// The end of an element's value.
    fn skip(&self, element: &Element, depth: usize) -> Option<usize> {
        if element.length != UNDEFINED {
            return Some(element.value + self.value(element)?.len());
        }
        // Inside a value of unknown representation elements are implicit (PS3.5, 6.2.2).
        let explicit = self.explicit && &element.vr != b"UN";
        let inside = Self { explicit, ..*self };
        let mut at = element.value;
        loop {
            let item = inside.element(at)?;
            at = match item.tag {
                SEQUENCE_END => return Some(item.value),
                ITEM if item.length == UNDEFINED => inside.skip_item(item.value, depth + 1)?,
                ITEM => item.value + inside.value(&item)?.len(),
                _ => return None,
            };
        }
    }

    /// The end of an item of undefined length whose elements start at `at`.
    fn skip_item(&self, mut at: usize, depth: usize) -> Option<usize> {
        if depth > MAX_NESTING {
            return None;
        }
        loop {
            let element = self.element(at)?;
            if element.tag == ITEM_END {
                return Some(element.value);
            }
            at = self.skip(&element, depth)?;
        }
    }

    fn element(&self, at: usize) -> Option<Element> {
        let group = self.u16(at)?;
        let tag = u32::from(group) << 16 | u32::from(self.u16(at + 2)?);
        if !self.explicit || group == 0xFFFE {
            return Some(Element { tag, vr: *b"  ", length: self.u32(at + 4)?, value: at + 8 });
        }
        let vr: [u8; 2] = self.bytes.get(at + 4..at + 6)?.try_into().ok()?;
        if SHORT.contains(&&vr) {
            let length = u32::from(self.u16(at + 6)?);
            return Some(Element { tag, vr, length, value: at + 8 });
        }
        let length = self.u32(at + 8)?;
        is_vr(&vr).then_some(Element { tag, vr, length, value: at + 12 })
    }

    /// The value of an element of defined length, where all of it is there.
    fn value(&self, element: &Element) -> Option<&'a [u8]> {
        let end = element.value.checked_add(usize::try_from(element.length).ok()?)?;
        self.bytes.get(element.value..end)
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

fn is_vr(letters: &[u8]) -> bool {
    letters.iter().all(u8::is_ascii_uppercase)
}

fn trimmed(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    Some(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Draft, draft};
    use super::*;

    #[test]
    fn the_uid_is_found_in_every_syntax_and_in_files_that_are_cut() {
        for syntax in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"] {
            let bytes = Draft { syntax, ..draft(0.0) }.bytes();
            assert_eq!(series_uid_of(&bytes).as_deref(), Some("1.2.3"), "{syntax}");
            // The UID is found exactly where all of it is there.
            let found: Vec<bool> =
                (0..bytes.len()).map(|cut| series_uid_of(&bytes[..cut]).is_some()).collect();
            let first = found.iter().position(|f| *f).unwrap();
            assert!(found[first..].iter().all(|f| *f) && first < bytes.len() - 100, "{syntax}");
            if syntax != "1.2.840.10008.1.2.2" {
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
