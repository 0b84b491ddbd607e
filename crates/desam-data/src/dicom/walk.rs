//! A first look at a file: do all its elements lie within it?
//!
//! The parser that reads them takes as much memory as an element says it needs, and goes as deep
//! as sequences are nested. So both are checked before it sees the file.

/// Sequences within sequences beyond which a file is not believed.
const DEEPEST: usize = 16;
const UNDEFINED: u32 = u32::MAX;

const ITEM: u32 = 0xFFFE_E000;
const ITEM_END: u32 = 0xFFFE_E00D;
const SEQUENCE_END: u32 = 0xFFFE_E0DD;
const PIXEL_DATA: u32 = 0x7FE0_0010;
const GROUP_LENGTH: u32 = 0x0002_0000;
const TRANSFER_SYNTAX: u32 = 0x0002_0010;

const IMPLICIT: &[u8] = b"1.2.840.10008.1.2";
const BIG_ENDIAN: &[u8] = b"1.2.840.10008.1.2.2";
const DEFLATED: &[u8] = b"1.2.840.10008.1.2.1.99";

/// Kinds of values whose length is told in 32 bits, and in 16 (PS3.5, 7.1.2).
const LONG: [&[u8; 2]; 13] =
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN",
    b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
];

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Syntax {
    explicit: bool,
    big_endian: bool,
}

/// Explicit, little endian: what the first group is in, whatever follows.
const META: Syntax = Syntax { explicit: true, big_endian: false };

/// An element's header.
struct Element {
    tag: u32,
    /// Two letters where they are written.
    vr: [u8; 2],
    length: u32,
    /// Where its value starts.
    value: usize,
}

/// Whether every element lies within the file.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    if !super::is_start(bytes) {
        return Err("it does not start as DICOM files do (128 bytes and DICM)".into());
    }
    let walk = Walk { bytes };
    let mut at = 132;
    let mut syntax = Syntax { explicit: true, big_endian: false };
    // The parser stops reading the first group where its length says, so that must be its end.
    let first = walk.element(at, META)?;
    let says = walk.u32(first.value, META)? as usize;
    let group_end = (first.tag == GROUP_LENGTH && first.length == 4)
        .then(|| (first.value + 4).saturating_add(says));
    while at < bytes.len() {
        if walk.u16(at, META)? != 2 {
            break;
        }
        let element = walk.element(at, META)?;
        let end = walk.end_of(&element, bytes.len())?;
        if element.tag == TRANSFER_SYNTAX {
            let uid = &bytes[element.value..end];
            let last = uid.iter().rposition(|b| *b != 0 && !b.is_ascii_whitespace());
            let uid = &uid[..last.map_or(0, |at| at + 1)];
            if uid == DEFLATED {
                return Err("deflated files are not read; convert it to another syntax".into());
            }
            syntax = Syntax { explicit: uid != IMPLICIT, big_endian: uid == BIG_ENDIAN };
        }
        at = end;
    }
    if group_end != Some(at) {
        return Err("its first group is not as long as it says".into());
    }
    let stopped = walk.elements(at, bytes.len(), syntax, 0)?;
    expect_end(stopped, bytes.len())
}

/// Whether what ends at `stopped` ends where its length says. The parser goes on at `stopped`, so that
/// what lies between would be read by it and was not looked at here.
fn expect_end(stopped: usize, end: usize) -> Result<(), String> {
    if stopped == end {
        return Ok(());
    }
    Err(format!("a sequence or an item ends at byte {stopped}, where its length says {end}"))
}

struct Walk<'a> {
    bytes: &'a [u8],
}

impl Walk<'_> {
    /// Goes over elements until `end` or the end of an item; gives where it stopped.
    fn elements(
        &self,
        mut at: usize,
        end: usize,
        syntax: Syntax,
        depth: usize,
    ) -> Result<usize, String> {
        if depth > DEEPEST {
            return Err(format!("sequences lie more than {DEEPEST} deep"));
        }
        while at < end {
            let element = self.element(at, syntax)?;
            if element.tag == ITEM_END || element.tag == SEQUENCE_END {
                return Ok(element.value);
            }
            at = if element.length == UNDEFINED {
                // A value of unknown kind is written implicitly inside.
                let inside = Syntax { explicit: syntax.explicit && &element.vr != b"UN", ..syntax };
                self.items(&element, end, inside, depth)?
            } else {
                let after = self.end_of(&element, end)?;
                if self.holds_items(&element, after, syntax) {
                    self.items_within(element.value, after, syntax, depth)?;
                }
                after
            };
        }
        Ok(at)
    }

    /// Items up to the end of their sequence; gives where that is.
    fn items(
        &self,
        sequence: &Element,
        end: usize,
        syntax: Syntax,
        depth: usize,
    ) -> Result<usize, String> {
        let is_packed = sequence.tag == PIXEL_DATA && &sequence.vr != b"SQ";
        let mut at = sequence.value;
        while at < end {
            let item = self.element(at, syntax)?;
            match item.tag {
                SEQUENCE_END => return Ok(item.value),
                // The fragments of packed pixels are no elements.
                ITEM if is_packed && item.length != UNDEFINED => at = self.end_of(&item, end)?,
                ITEM => at = self.item(&item, end, syntax, depth)?,
                _ => return Err(format!("a sequence at byte {at} holds what is no item")),
            }
        }
        Err("it ends within a sequence".into())
    }

    /// Items of a sequence whose length is told.
    fn items_within(
        &self,
        mut at: usize,
        end: usize,
        syntax: Syntax,
        depth: usize,
    ) -> Result<(), String> {
        while at < end {
            let item = self.element(at, syntax)?;
            at = match item.tag {
                SEQUENCE_END => return expect_end(item.value, end),
                ITEM => self.item(&item, end, syntax, depth)?,
                _ => return Err(format!("a sequence at byte {at} holds what is no item")),
            };
        }
        Ok(())
    }

    /// The elements of an item of a sequence that ends at `end` at the latest; gives where it ends.
    fn item(
        &self,
        item: &Element,
        end: usize,
        syntax: Syntax,
        depth: usize,
    ) -> Result<usize, String> {
        if item.length == UNDEFINED {
            return self.elements(item.value, end, syntax, depth + 1);
        }
        let after = self.end_of(item, end)?;
        let stopped = self.elements(item.value, after, syntax, depth + 1)?;
        expect_end(stopped, after).map(|()| after)
    }

    /// Whether a value of known length is a sequence: by its letters, or, where none are written,
    /// by how it starts.
    fn holds_items(&self, element: &Element, after: usize, syntax: Syntax) -> bool {
        match syntax.explicit {
            true => &element.vr == b"SQ",
            false => {
                let start = self.bytes.get(element.value..after.min(element.value + 4));
                let starts = [Some(&[0xFE, 0xFF, 0x00, 0xE0][..]), Some(&[0xFE, 0xFF, 0xDD, 0xE0])];
                starts.contains(&start) && element.tag != PIXEL_DATA
            }
        }
    }

    fn element(&self, at: usize, syntax: Syntax) -> Result<Element, String> {
        let group = self.u16(at, syntax)?;
        let tag = u32::from(group) << 16 | u32::from(self.u16(at + 2, syntax)?);
        if !syntax.explicit || group == 0xFFFE {
            let length = self.u32(at + 4, syntax)?;
            return Ok(Element { tag, vr: *b"  ", length, value: at + 8 });
        }
        let vr = self.take::<2>(at + 4)?;
        let length = if LONG.contains(&&vr) {
            return Ok(Element { tag, vr, length: self.u32(at + 8, syntax)?, value: at + 12 });
        } else if SHORT.contains(&&vr) {
            u32::from(self.u16(at + 6, syntax)?)
        } else {
            // The parser takes other letters for the long form, whatever a program meant by them.
            return Err(format!("the element at byte {at} is of no known kind"));
        };
        Ok(Element { tag, vr, length, value: at + 8 })
    }

    fn end_of(&self, element: &Element, within: usize) -> Result<usize, String> {
        let end = element.value.checked_add(element.length as usize).filter(|e| *e <= within);
        let (group, number) = (element.tag >> 16, element.tag & 0xFFFF);
        end.ok_or_else(|| {
            format!(
                "truncated: element ({group:04x},{number:04x}) promises {} bytes, {} are there",
                element.length,
                within.saturating_sub(element.value)
            )
        })
    }

    fn take<const N: usize>(&self, at: usize) -> Result<[u8; N], String> {
        let found = self.bytes.get(at..at.saturating_add(N)).and_then(|b| b.try_into().ok());
        found.ok_or_else(|| format!("truncated at byte {}", self.bytes.len()))
    }

    fn u16(&self, at: usize, syntax: Syntax) -> Result<u16, String> {
        let bytes = self.take(at)?;
        Ok(if syntax.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&self, at: usize, syntax: Syntax) -> Result<u32, String> {
        let bytes = self.take(at)?;
        Ok(if syntax.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}
