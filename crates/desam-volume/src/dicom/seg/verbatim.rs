//! Undecoded attribute values, as the bytes of the file.
//!
//! The parser decodes text, and it does not know all of DICOM's character sets: code extensions
//! (ISO 2022) and the Turkish set, for example, are read as if they were Latin-1. What is copied
//! from one file to another is therefore never decoded.

use dicom_object::Tag;
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use std::collections::BTreeMap;
use std::io::Cursor;

/// The undecoded values of some elements of a file, without their padding.
#[derive(Debug, Default)]
pub(super) struct Verbatim(BTreeMap<Tag, Vec<u8>>);

impl Verbatim {
    /// Reads those of `tags` that a data set in explicit VR little endian has outside of any sequence.
    ///
    /// # Errors
    /// A description of the problem with the file.
    pub(super) fn read(elements: &[u8], tags: &[Tag]) -> Result<Self, String> {
        let syntax = EXPLICIT_VR_LITTLE_ENDIAN.erased();
        let source = Cursor::new(elements);
        let mut reader =
            LazyDataSetReader::new_with_ts(source, &syntax).map_err(|e| e.to_string())?;
        let last = tags.iter().max().copied().unwrap_or(Tag(0, 0));
        let mut values = BTreeMap::new();
        let mut depth = 0_usize;
        while let Some(token) = reader.advance() {
            match token.map_err(|e| e.to_string())? {
                LazyDataToken::SequenceStart { .. } => depth += 1,
                LazyDataToken::SequenceEnd => depth = depth.saturating_sub(1),
                // Elements come in the order of their tags, pixels last.
                LazyDataToken::PixelSequenceStart => break,
                LazyDataToken::ElementHeader(header) if depth == 0 && header.tag > last => break,
                value @ LazyDataToken::LazyValue { header, .. } => {
                    if depth == 0 && tags.contains(&header.tag) {
                        let mut bytes = Vec::new();
                        value.read_value_into(&mut bytes).map_err(|e| e.to_string())?;
                        values.insert(header.tag, trimmed(bytes));
                    } else {
                        value.skip().map_err(|e| e.to_string())?;
                    }
                }
                _ => {}
            }
        }
        Ok(Self(values))
    }

    /// The value of an element; `None` where the file does not have it.
    pub(super) fn get(&self, tag: Tag) -> Option<&[u8]> {
        self.0.get(&tag).map(Vec::as_slice)
    }

    /// A value that can only be ASCII, such as a UID or a date; `None` where it is absent or empty.
    pub(super) fn ascii(&self, tag: Tag) -> Option<String> {
        let text = std::str::from_utf8(self.get(tag)?).ok()?.trim();
        (text.is_ascii() && !text.is_empty()).then(|| text.to_owned())
    }
}

/// A value without the padding at its end.
fn trimmed(mut value: Vec<u8>) -> Vec<u8> {
    let end = value.iter().rposition(|b| !matches!(b, 0 | b' ')).map_or(0, |last| last + 1);
    value.truncate(end);
    value
}
