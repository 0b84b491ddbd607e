//! Constructors of data elements (attributes) for written objects, by value representation.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_object::mem::InMemElement;
use dicom_object::{InMemDicomObject, Tag};

/// Longest text of an element whose length has 16 bits.
pub(super) const MAX_TEXT: usize = u16::MAX as usize - 1;

/// An item of a sequence, or a whole data set.
pub(super) type Item = Vec<InMemElement>;

/// Text in the character set of the data set, several values with backslashes between them; beyond
/// [`MAX_TEXT`] bytes it is cut.
///
/// It goes to the writer as bytes, because the writer would encode strings itself and does not know
/// all character sets (see `seg/verbatim.rs`). UIDs are padded to an even length with NUL, all else
/// with a space (PS3.5, 6.2). Decimals and integers as strings (DS, IS) are ASCII by definition, and
/// the writer would format bytes of theirs as numbers, so that they stay strings.
pub(super) fn text(tag: Tag, vr: VR, value: impl AsRef<[u8]>) -> InMemElement {
    let mut value = value.as_ref().to_vec();
    value.truncate(MAX_TEXT);
    if matches!(vr, VR::DS | VR::IS) {
        let string = String::from_utf8_lossy(&value).into_owned();
        return DataElement::new(tag, vr, PrimitiveValue::from(string));
    }
    if value.len() % 2 == 1 {
        value.push(if vr == VR::UI { 0 } else { b' ' });
    }
    DataElement::new(tag, vr, bytes(value))
}

/// A number of 16 bits (US).
pub(super) fn unsigned_short(tag: Tag, value: u16) -> InMemElement {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

/// Numbers of 16 bits (US).
pub(super) fn unsigned_shorts(tag: Tag, values: &[u16]) -> InMemElement {
    DataElement::new(tag, VR::US, PrimitiveValue::U16(values.into()))
}

/// Numbers of 32 bits (UL).
pub(super) fn unsigned_longs(tag: Tag, values: &[u32]) -> InMemElement {
    DataElement::new(tag, VR::UL, PrimitiveValue::U32(values.into()))
}

/// The tag of another element (AT).
pub(super) fn attribute_tag(tag: Tag, of: Tag) -> InMemElement {
    DataElement::new(tag, VR::AT, PrimitiveValue::Tags([of].into_iter().collect()))
}

/// Items (SQ), written with undefined lengths and delimiters.
pub(super) fn sequence(tag: Tag, items: impl IntoIterator<Item = Item>) -> InMemElement {
    let items: Vec<_> = items.into_iter().map(InMemDicomObject::from_element_iter).collect();
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

/// Bytes (OB), padded to an even number of them.
pub(super) fn other_bytes(tag: Tag, mut value: Vec<u8>) -> InMemElement {
    if value.len() % 2 == 1 {
        value.push(0);
    }
    DataElement::new(tag, VR::OB, bytes(value))
}

fn bytes(value: Vec<u8>) -> PrimitiveValue {
    PrimitiveValue::U8(value.into())
}

/// A decimal string (DS) of at most 16 characters: the nearest where that is not enough for all
/// digits.
pub(super) fn decimal(value: f64) -> String {
    const MAX_LENGTH: usize = 16;
    let whole = value.to_string();
    if whole.len() <= MAX_LENGTH {
        return whole;
    }
    let forms = (0..MAX_LENGTH)
        .flat_map(|digits| [format!("{value:.digits$}"), format!("{value:.digits$e}")]);
    let off = |text: &String| text.parse::<f64>().map_or(f64::INFINITY, |v| (v - value).abs());
    let fitting = forms.filter(|text| text.len() <= MAX_LENGTH);
    fitting.min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or_default()
}

/// Decimal strings with backslashes between them.
pub(super) fn decimals(values: impl IntoIterator<Item = f64>) -> String {
    values.into_iter().map(decimal).collect::<Vec<_>>().join("\\")
}
