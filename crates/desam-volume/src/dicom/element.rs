//! Parser of data element and item headers (PS3.5, chapter 7), in place.

use super::encoding::{Encoding, has_long_length};
use dicom_core::VR;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, DataDictionaryEntryRef};
use dicom_object::{StandardDataDictionary, Tag};

/// Description of a fault in a file.
pub(super) type Problem = String;

pub(super) const ITEM: Tag = Tag(0xFFFE, 0xE000);
pub(super) const ITEM_DELIMITATION: Tag = Tag(0xFFFE, 0xE00D);
pub(super) const SEQUENCE_DELIMITATION: Tag = Tag(0xFFFE, 0xE0DD);

/// Header of a data element or an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tag: Tag,
    /// `None` where it is not written (in implicit VR, and for items), or unknown.
    pub(super) vr: Option<VR>,
    /// `None` where it is undefined, so that a delimiter ends the value.
    pub(super) length: Option<usize>,
    /// Offset of the value.
    pub(super) value: usize,
}

/// Bytes that hold data elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a> {
    pub(super) bytes: &'a [u8],
}

impl Elements<'_> {
    /// The header at byte `at`.
    ///
    /// # Errors
    /// When the bytes end within it, or when its VR is none of the standard's.
    pub(super) fn header(self, at: usize, encoding: Encoding) -> Result<Header, Problem> {
        let header = self.any_header(at, encoding)?;
        if self.has_vr(header.tag, at, encoding)? && header.vr.is_none() {
            let tag = header.tag;
            let letters = String::from_utf8_lossy(&self.take::<2>(at + 4)?).into_owned();
            return Err(format!("element {tag} at byte {at} has the unknown VR {letters:?}"));
        }
        Ok(header)
    }

    /// The header at byte `at`, whose VR may be unknown: its length then has 32 bits (PS3.5, 7.1.2).
    ///
    /// # Errors
    /// When the bytes end within it.
    pub(super) fn any_header(self, at: usize, encoding: Encoding) -> Result<Header, Problem> {
        let tag = Tag(self.u16(at, encoding)?, self.u16(at + 2, encoding)?);
        if !self.has_vr(tag, at, encoding)? {
            let length = known(self.u32(at + 4, encoding)?);
            return Ok(Header { tag, vr: None, length, value: at + 8 });
        }
        let vr = VR::from_binary(self.take(at + 4)?);
        let (length, value) = if vr.is_none_or(has_long_length) {
            (known(self.u32(at + 8, encoding)?), at + 12)
        } else {
            (Some(usize::from(self.u16(at + 6, encoding)?)), at + 8)
        };
        Ok(Header { tag, vr, length, value })
    }

    /// Whether the header at byte `at` holds a VR. Some programs write single elements of an explicit
    /// data set implicitly; lengths that look like two capital letters are beyond what such elements
    /// hold.
    fn has_vr(self, tag: Tag, at: usize, encoding: Encoding) -> Result<bool, Problem> {
        let letters: [u8; 2] = self.take(at + 4)?;
        let is_item = tag.group() == ITEM.group();
        Ok(encoding.explicit_vr && !is_item && letters.iter().all(u8::is_ascii_uppercase))
    }

    /// End of a value of known length, at most `within`.
    pub(super) fn end_of(self, header: &Header, within: usize) -> Result<usize, Problem> {
        let length = header.length.ok_or_else(|| format!("{} has no length", named(header.tag)))?;
        let end = header.value.checked_add(length).filter(|end| *end <= within);
        end.ok_or_else(|| {
            let there = within.saturating_sub(header.value);
            let name = named(header.tag);
            format!("truncated: element {name} promises {length} bytes, {there} are there")
        })
    }

    /// Whether the element at `at` is written with explicit VR, whatever its file says.
    pub(super) fn is_explicit(self, at: usize, encoding: Encoding) -> bool {
        let tag = self.u16(at, encoding).and_then(|g| Ok(Tag(g, self.u16(at + 2, encoding)?)));
        let letters = self.take(at + 4).ok().and_then(VR::from_binary);
        let (Ok(tag), Some(letters)) = (tag, letters) else { return false };
        // Letters read as an implicit length are 16 kB and more: sequences and bulk data have that.
        standard_vr(tag).is_none_or(|vr| vr == letters || !has_long_length(vr))
    }

    fn take<const N: usize>(self, at: usize) -> Result<[u8; N], Problem> {
        let found = self.bytes.get(at..at.saturating_add(N)).and_then(|b| b.try_into().ok());
        found.ok_or_else(|| format!("truncated at byte {}", self.bytes.len()))
    }

    pub(super) fn u16(self, at: usize, encoding: Encoding) -> Result<u16, Problem> {
        self.take(at).map(|bytes| encoding.u16(bytes))
    }

    fn u32(self, at: usize, encoding: Encoding) -> Result<u32, Problem> {
        self.take(at).map(|bytes| encoding.u32(bytes))
    }
}

fn known(length: u32) -> Option<usize> {
    (length != u32::MAX).then_some(length as usize)
}

/// The VR that the standard gives an element; `None` for private ones and those it does not know.
pub(super) fn standard_vr(tag: Tag) -> Option<VR> {
    let is_private = tag.group() % 2 == 1;
    StandardDataDictionary.by_tag(tag).filter(|_| !is_private).map(|entry| entry.vr().relaxed())
}

/// An element as messages name it: `(0028,0010) Rows`.
pub(super) fn named(tag: Tag) -> String {
    let alias = |entry: &DataDictionaryEntryRef<'_>| format!("{tag} {}", entry.alias());
    StandardDataDictionary.by_tag(tag).map_or_else(|| tag.to_string(), alias)
}
