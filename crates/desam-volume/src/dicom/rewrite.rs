//! Rewriter of data sets for the parser: explicit VR little endian, every length validated.
//!
//! `dicom-object` trusts lengths: it takes as much memory as an element says it needs, goes as deep
//! as sequences are nested, loses its place behind a value whose length is no multiple of its
//! width, and misreads UN elements of undefined length (see `docs/decisions/dicom-parser.md`). So
//! the file is walked here first, and the parser sees only what this module wrote: elements of the
//! standard, small values, sequences that close. Pixels are not among them; where they lie is
//! [`DataSet::pixels`].

use super::element::{Elements, Header, ITEM, ITEM_DELIMITATION, Problem};
use super::element::{SEQUENCE_DELIMITATION, named, standard_vr};
use super::encoding::{Encoding, has_long_length, swap_bytes, swap_width, value_width};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use std::ops::Range;

/// Maximum nesting of sequences.
const MAX_DEPTH: usize = 32;
/// Longest value that is kept, in bytes: none that is looked at comes near it, and the length of
/// most VRs is written in 16 bits.
const MAX_VALUE: usize = 0xFFFE;
/// Upper bounds on the parser's memory overhead for an element, an item and one value of several.
/// An item is a B-tree, whose first node has room for eleven elements; each value of a text is a
/// `String`.
const ELEMENT_COST: usize = 256;
const ITEM_COST: usize = 1700;
const VALUE_COST: usize = 64;
/// Most warnings of one file.
const MAX_WARNINGS: usize = 4;
/// Memory for a header whatever the size of its file, and for each of its bytes.
const BASE_BUDGET: usize = 48 << 20;
const BUDGET_PER_BYTE: usize = 16;

/// The elements of a data set, and where its pixels are.
#[derive(Debug)]
pub(super) struct DataSet {
    /// Explicit VR, little endian.
    pub(super) elements: Vec<u8>,
    pub(super) pixels: Option<PixelData>,
    pub(super) warnings: Vec<String>,
}

/// Location of the value of PixelData in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PixelData {
    /// As one value; it may promise more than there is.
    Native {
        /// Position of the value.
        bytes: Range<usize>,
        /// Its VR, which decides what a big endian file swapped.
        vr: VR,
    },
    /// Encapsulated.
    Fragments {
        /// Basic Offset Table.
        offsets: Range<usize>,
        /// Everything behind it.
        fragments: Vec<Range<usize>>,
    },
}

impl DataSet {
    /// Cuts native pixels off at this byte.
    pub(super) fn end_pixels_at(&mut self, end: usize) {
        if let Some(PixelData::Native { bytes, .. }) = &mut self.pixels {
            bytes.end = bytes.end.min(end.max(bytes.start));
        }
    }
}

/// Rewrites the data set at byte `start`.
///
/// # Errors
/// When an element or a sequence leaves the file, or when the header is too large or too deep.
pub(super) fn rewrite(bytes: &[u8], start: usize, encoding: Encoding) -> Result<DataSet, Problem> {
    let budget = BASE_BUDGET.saturating_add(bytes.len().saturating_mul(BUDGET_PER_BYTE));
    let elements = Elements { bytes };
    let mut rewriter = Rewriter { source: elements, out: Vec::new(), budget, warnings: Vec::new() };
    let pixels = rewriter.data_set(start, encoding)?;
    Ok(DataSet { elements: rewriter.out, pixels, warnings: rewriter.warnings })
}

struct Rewriter<'a> {
    source: Elements<'a>,
    out: Vec<u8>,
    /// Bytes of memory that the parser may still take.
    budget: usize,
    warnings: Vec<String>,
}

/// Context of an element: the sequence items and values around it.
#[derive(Debug, Clone, Copy)]
struct Scope {
    /// End of the innermost value of known length.
    end: usize,
    encoding: Encoding,
    depth: usize,
    /// Whether it is written.
    kept: bool,
}

impl Rewriter<'_> {
    /// Elements up to PixelData; what lies behind it is not looked at.
    fn data_set(
        &mut self,
        mut at: usize,
        encoding: Encoding,
    ) -> Result<Option<PixelData>, Problem> {
        let end = self.source.bytes.len();
        let scope = Scope { end, encoding, depth: 0, kept: true };
        while at < end {
            let rest = &self.source.bytes[at..];
            if rest.len() < 8 && rest.iter().all(|b| *b == 0 || b.is_ascii_whitespace()) {
                break;
            }
            let header = self.source.header(at, encoding)?;
            match header.tag {
                tags::PIXEL_DATA => return self.pixel_data(&header).map(Some),
                ITEM_DELIMITATION | SEQUENCE_DELIMITATION | ITEM => {
                    return Err(format!("byte {at} closes or opens an item outside of a sequence"));
                }
                _ => at = self.element(&header, scope)?,
            }
        }
        Ok(None)
    }

    fn pixel_data(&self, header: &Header) -> Result<PixelData, Problem> {
        if let Some(length) = header.length {
            let bytes = header.value..header.value.saturating_add(length);
            return Ok(PixelData::Native { bytes, vr: header.vr.unwrap_or(VR::OW) });
        }
        let mut items = self.fragments(header.value)?;
        if items.is_empty() {
            return Err("its encapsulated pixels are empty".into());
        }
        let offsets = items.remove(0);
        Ok(PixelData::Fragments { offsets, fragments: items })
    }

    /// Items of encapsulated pixels up to their delimiter, or up to the end of the file where that
    /// is missing.
    fn fragments(&self, mut at: usize) -> Result<Vec<Range<usize>>, Problem> {
        let mut items = Vec::new();
        let end = self.source.bytes.len();
        while let Ok(item) = self.source.header(at, Encoding::IMPLICIT_LE)
            && item.tag == ITEM
        {
            at = self.source.end_of(&item, end)?;
            items.push(item.value..at);
        }
        Ok(items)
    }

    /// Writes an element or passes over it; gives where it ends.
    fn element(&mut self, header: &Header, mut scope: Scope) -> Result<usize, Problem> {
        let vr = match header.vr {
            None | Some(VR::UN) => standard_vr(header.tag),
            written => written.filter(|_| standard_vr(header.tag).is_some()),
        };
        scope.kept &= is_wanted(header.tag);
        let Some(length) = header.length else {
            scope.kept &= vr == Some(VR::SQ);
            return match header.vr {
                Some(VR::UN) => self.unknown_sequence(header, scope),
                _ => self.sequence(header, scope),
            };
        };
        let end = self.source.end_of(header, scope.end)?;
        match vr.filter(|_| scope.kept) {
            None => {}
            Some(VR::SQ) if header.vr == Some(VR::UN) => {
                if let Err(problem) = self.unknown_sequence(header, Scope { end, ..scope }) {
                    let name = named(header.tag);
                    self.warn(format!("{name} of VR UN is left out: {problem}"));
                }
            }
            Some(VR::SQ) => {
                self.sequence(header, Scope { end, ..scope })?;
            }
            Some(vr) => self.value(header.tag, vr, header.value..header.value + length, scope)?,
        }
        Ok(end)
    }

    /// The items of a UN element: implicit VR little endian, whatever is around them (PS3.5, 6.2.2,
    /// note 6; CP-246), or explicit where a program wrote them so against the standard, which shows in
    /// that they cannot be read otherwise.
    fn unknown_sequence(&mut self, header: &Header, scope: Scope) -> Result<usize, Problem> {
        let (written, budget) = (self.out.len(), self.budget);
        let mut read = |encoding| {
            let result = self.sequence(header, Scope { encoding, ..scope });
            if result.is_err() {
                self.out.truncate(written);
                self.budget = budget;
            }
            result
        };
        read(Encoding::IMPLICIT_LE)
            .or_else(|problem| read(Encoding::EXPLICIT_LE).map_err(|_| problem))
    }

    /// The items of a sequence, of known length or up to its delimiter; gives where it ends.
    fn sequence(&mut self, header: &Header, mut scope: Scope) -> Result<usize, Problem> {
        if scope.depth >= MAX_DEPTH {
            return Err(format!("sequences are nested more than {MAX_DEPTH} deep"));
        }
        scope.depth += 1;
        // Pixels within an item, an icon's, may be encapsulated: fragments, no data sets.
        let is_encapsulated = header.tag == tags::PIXEL_DATA && header.vr != Some(VR::SQ);
        self.open(header.tag, scope)?;
        let mut at = header.value;
        loop {
            if header.length.is_some() && at >= scope.end {
                break;
            }
            if at >= scope.end {
                return Err(format!("truncated within the sequence {}", named(header.tag)));
            }
            let item = self.source.header(at, scope.encoding)?;
            at = match item.tag {
                SEQUENCE_DELIMITATION => {
                    at = item.value;
                    break;
                }
                ITEM if is_encapsulated => self.source.end_of(&item, scope.end)?,
                ITEM => self.item(&item, scope)?,
                tag => {
                    let name = named(header.tag);
                    return Err(format!("sequence {name} holds {tag} at byte {at}, no item"));
                }
            };
        }
        if header.length.is_some() && at != scope.end {
            let (name, end) = (named(header.tag), scope.end);
            return Err(format!("sequence {name} ends at byte {at}, where its length says {end}"));
        }
        self.close(SEQUENCE_DELIMITATION, scope);
        Ok(at)
    }

    /// The elements of an item; gives where it ends.
    fn item(&mut self, item: &Header, mut scope: Scope) -> Result<usize, Problem> {
        if item.length.is_some() {
            scope.end = self.source.end_of(item, scope.end)?;
        }
        self.open(ITEM, scope)?;
        let mut at = item.value;
        while at < scope.end {
            let header = self.source.header(at, scope.encoding)?;
            at = match header.tag {
                ITEM_DELIMITATION => {
                    at = header.value;
                    break;
                }
                // The delimiter of the item is missing.
                SEQUENCE_DELIMITATION | ITEM if item.length.is_none() => break,
                SEQUENCE_DELIMITATION | ITEM => {
                    return Err(format!("byte {at} closes a sequence or opens an item in an item"));
                }
                _ => self.element(&header, scope)?,
            };
        }
        if item.length.is_some() && at != scope.end {
            let end = scope.end;
            return Err(format!("an item ends at byte {at}, where its length says {end}"));
        }
        self.close(ITEM_DELIMITATION, scope);
        Ok(at)
    }

    /// Starts a sequence or an item, of undefined length.
    fn open(&mut self, tag: Tag, scope: Scope) -> Result<(), Problem> {
        if !scope.kept {
            return Ok(());
        }
        self.spend(if tag == ITEM { ITEM_COST } else { ELEMENT_COST })?;
        self.put_tag(tag);
        if tag != ITEM {
            self.out.extend(*b"SQ\0\0");
        }
        self.out.extend(u32::MAX.to_le_bytes());
        Ok(())
    }

    fn close(&mut self, delimiter: Tag, scope: Scope) {
        if scope.kept {
            self.put_tag(delimiter);
            self.out.extend([0; 4]);
        }
    }

    /// Writes a value; leaves out bulk data and what does not fit its VR.
    fn value(&mut self, tag: Tag, vr: VR, at: Range<usize>, scope: Scope) -> Result<(), Problem> {
        use VR::*;
        if at.len() > MAX_VALUE || matches!(vr, OB | OD | OF | OL | OV | OW | UN) {
            return Ok(());
        }
        if !at.len().is_multiple_of(value_width(vr)) {
            let (name, length) = (named(tag), at.len());
            self.warn(format!("{name} is left out: {length} bytes are no {vr} values"));
            return Ok(());
        }
        let value = &self.source.bytes[at.clone()];
        let values = 1 + value.iter().filter(|byte| **byte == b'\\').count();
        self.spend(ELEMENT_COST + VALUE_COST * values + 3 * value.len())?;
        self.put_tag(tag);
        self.out.extend(vr.to_bytes());
        if has_long_length(vr) {
            self.out.extend([0; 2]);
            self.out.extend((at.len() as u32).to_le_bytes());
        } else {
            self.out.extend((at.len() as u16).to_le_bytes());
        }
        let written = self.out.len();
        self.out.extend_from_slice(&self.source.bytes[at]);
        if scope.encoding.big_endian {
            swap_bytes(&mut self.out[written..], swap_width(vr));
        }
        Ok(())
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(warning);
        }
    }

    fn put_tag(&mut self, tag: Tag) {
        self.out.extend(tag.group().to_le_bytes());
        self.out.extend(tag.element().to_le_bytes());
    }

    fn spend(&mut self, cost: usize) -> Result<(), Problem> {
        let left = self.budget.checked_sub(cost);
        self.budget = left.ok_or("its header has too many elements for a file of its size")?;
        Ok(())
    }
}

/// Whether an element is kept: before PixelData, and no group length.
fn is_wanted(tag: Tag) -> bool {
    (0x0008..tags::PIXEL_DATA.group()).contains(&tag.group()) && tag.element() != 0
}
