//! Elements as bytes: explicit, little endian.

use dicom_object::Tag;
use std::collections::BTreeMap;

/// A length that is told by what ends the value.
const UNDEFINED: [u8; 4] = [0xFF; 4];
const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const ITEM_END: [u8; 8] = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0];
const SEQUENCE_END: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];

/// Longest text of an element whose length has 16 bits.
pub(super) const MAX_TEXT: usize = u16::MAX as usize - 1;

/// Elements by tag, which is the order that they are written in.
#[derive(Debug, Clone, Default)]
pub(super) struct Elements(BTreeMap<(u16, u16), Vec<u8>>);

impl Elements {
    /// Text of one value, or of several with backslashes between them.
    pub(super) fn text(self, tag: Tag, vr: &[u8; 2], text: &str) -> Self {
        self.encoded_text(tag, vr, text.as_bytes())
    }

    /// Text as bytes in the character set of the file; UIDs are padded to an even length with a
    /// zero, all else with a space. Beyond [`MAX_TEXT`] bytes it is cut.
    pub(super) fn encoded_text(mut self, tag: Tag, vr: &[u8; 2], text: &[u8]) -> Self {
        let mut value = text.to_vec();
        value.truncate(MAX_TEXT);
        if value.len() % 2 == 1 {
            value.push(if vr == b"UI" { 0 } else { b' ' });
        }
        self.put(tag, vr, &(value.len() as u16).to_le_bytes(), &value);
        self
    }

    /// Numbers of 16 bits.
    pub(super) fn short(mut self, tag: Tag, value: u16) -> Self {
        self.put(tag, b"US", &2_u16.to_le_bytes(), &value.to_le_bytes());
        self
    }

    /// Two numbers of 32 bits.
    pub(super) fn long_pair(mut self, tag: Tag, values: [u32; 2]) -> Self {
        self.put(tag, b"UL", &8_u16.to_le_bytes(), &values.map(u32::to_le_bytes).concat());
        self
    }

    /// The name of an element.
    pub(super) fn pointer(mut self, tag: Tag, to: Tag) -> Self {
        let value = [to.group().to_le_bytes(), to.element().to_le_bytes()].concat();
        self.put(tag, b"AT", &4_u16.to_le_bytes(), &value);
        self
    }

    /// A sequence of items.
    pub(super) fn sequence(mut self, tag: Tag, items: impl IntoIterator<Item = Self>) -> Self {
        let mut value = Vec::new();
        for item in items {
            value.extend(ITEM);
            value.extend(UNDEFINED);
            value.extend(item.bytes());
            value.extend(ITEM_END);
        }
        value.extend(SEQUENCE_END);
        self.put(tag, b"SQ", &[&[0, 0], &UNDEFINED[..]].concat(), &value);
        self
    }

    /// Bytes, an even number of them.
    pub(super) fn binary(mut self, tag: Tag, mut value: Vec<u8>) -> Option<Self> {
        if value.len() % 2 == 1 {
            value.push(0);
        }
        let length = u32::try_from(value.len()).ok().filter(|l| l.to_le_bytes() != UNDEFINED)?;
        self.put(tag, b"OB", &[&[0, 0], &length.to_le_bytes()[..]].concat(), &value);
        Some(self)
    }

    fn put(&mut self, tag: Tag, vr: &[u8; 2], length: &[u8], value: &[u8]) {
        let name = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
        let element = [&name[..], vr, length, value].concat();
        self.0.insert((tag.group(), tag.element()), element);
    }

    /// All of them, one after the other.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.values().flatten().copied().collect()
    }
}

/// A decimal of at most 16 characters, as DICOM's are; the nearest where that is not enough for all
/// digits.
pub(super) fn decimal(value: f64) -> String {
    const MOST: usize = 16;
    let whole = value.to_string();
    if whole.len() <= MOST {
        return whole;
    }
    let forms =
        (0..MOST).flat_map(|digits| [format!("{value:.digits$}"), format!("{value:.digits$e}")]);
    let off = |text: &String| text.parse::<f64>().map_or(f64::INFINITY, |v| (v - value).abs());
    let fitting = forms.filter(|text| text.len() <= MOST);
    fitting.min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or_default()
}

/// Decimals with backslashes between them.
pub(super) fn decimals(values: impl IntoIterator<Item = f64>) -> String {
    values.into_iter().map(decimal).collect::<Vec<_>>().join("\\")
}
