//! One DICOM file: its attributes, parsed, and its PixelData as stored.

use super::element::Problem;
use super::encoding::{Encoding, swap_bytes};
use super::fields::Fields;
use super::file_meta::{self, FileMeta};
use super::header::explain;
use super::inflate::inflate;
use super::rewrite::{DataSet, PixelData, rewrite};
use super::{codec, wrong};
use crate::{Error, Result};
use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::mem::InMemElement;
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

/// Largest file, and largest data set of a deflated one.
pub(super) const MAX_FILE_BYTES: usize = 1 << 30;

/// Extent of a file to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadExtent {
    /// Everything but the pixels.
    Header,
    /// All of it.
    Whole,
}

/// An opened file.
#[derive(Debug)]
pub(super) struct DicomFile {
    /// Standard attributes without bulk data, and PixelData: empty if only the header was read.
    pub(super) object: DefaultDicomObject,
    /// Warnings about repairs and oddities, without the file's name.
    pub(super) warnings: Vec<String>,
}

impl DicomFile {
    /// Reads a file. Memory stays within a small multiple of its size: that of its pixels once, and
    /// what [`rewrite`] lets the parser have.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Dicom`] when it is too large or broken.
    pub(super) fn read(path: &Path, extent: ReadExtent) -> Result<Self> {
        Self::from_bytes(path, content(path)?, extent)
    }

    /// Reads a file's bytes; `path` is its name in errors.
    ///
    /// # Errors
    /// [`Error::Dicom`] when it is broken.
    pub(super) fn from_bytes(path: &Path, bytes: Vec<u8>, extent: ReadExtent) -> Result<Self> {
        Self::parse(bytes, extent).map_err(|problem| wrong(path, problem))
    }

    /// The elements before the pixels as the rewriter gives them to the parser: explicit VR little
    /// endian, with the bytes of the file's texts.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn read_elements(path: &Path) -> Result<Vec<u8>> {
        let elements =
            Rewritten::of(content(path)?, ReadExtent::Header).map(|r| r.data_set.elements);
        elements.map_err(|problem| wrong(path, problem))
    }

    fn parse(content: Vec<u8>, extent: ReadExtent) -> Result<Self, Problem> {
        let Rewritten { content, mut meta, encoding, data_set, warnings } =
            Rewritten::of(content, extent)?;
        let mut object = parse_elements(&data_set)?;
        if meta.transfer_syntax.is_empty() {
            meta.transfer_syntax = syntax_of(&data_set, &content, encoding).into();
        }
        match (data_set.pixels, extent) {
            (Some(pixels), ReadExtent::Whole) => {
                let swapped = if encoding.big_endian { swapped_width(&object) } else { 1 };
                object.put(pixel_element(pixels, content, swapped)?);
            }
            (Some(_), ReadExtent::Header) => {
                object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::Empty));
            }
            (None, _) => {}
        }
        let text = |tag, stated: String| match object.get(tag).and_then(|e| e.to_str().ok()) {
            Some(text) if stated.is_empty() => text.trim_end_matches('\0').to_owned(),
            _ => stated,
        };
        let table = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(text(tags::SOP_CLASS_UID, meta.class))
            .media_storage_sop_instance_uid(text(tags::SOP_INSTANCE_UID, meta.instance))
            .transfer_syntax(meta.transfer_syntax)
            .build();
        let table = table.map_err(|error| explain(&error))?;
        Ok(Self { object: object.with_exact_meta(table), warnings })
    }
}

/// A file whose data set has been rewritten for the parser.
struct Rewritten {
    /// The file's bytes, inflated where they were deflated.
    content: Vec<u8>,
    meta: FileMeta,
    encoding: Encoding,
    data_set: DataSet,
    warnings: Vec<String>,
}

impl Rewritten {
    fn of(mut content: Vec<u8>, extent: ReadExtent) -> Result<Self, Problem> {
        let start = file_meta::find(&content).ok_or(
            "it does not start as DICOM files do, with 128 bytes and DICM or with elements of the \
             standard",
        )?;
        let mut meta = FileMeta::read(&content, start)?;
        let (encoding, warning) = if meta.is_deflated() {
            content = inflate(content.get(meta.data_set..).unwrap_or_default(), extent)?;
            meta.data_set = 0;
            (Encoding::EXPLICIT_LE, None)
        } else {
            meta.encoding(&content)
        };
        let mut data_set = rewrite(&content, meta.data_set, encoding)?;
        if meta.is_deflated() {
            // Inflated as far as Rows and Columns promise pixels, which may be less than their length.
            data_set.end_pixels_at(content.len());
        }
        let warnings = warning.into_iter().chain(std::mem::take(&mut data_set.warnings)).collect();
        Ok(Self { content, meta, encoding, data_set, warnings })
    }
}

/// The bytes of a file.
fn content(path: &Path) -> Result<Vec<u8>> {
    let fail = || Error::io("read", path);
    let file = desam_core::files::open_regular(path).map_err(fail())?;
    let bytes = file.metadata().map_err(fail())?.len();
    if bytes > MAX_FILE_BYTES as u64 {
        let problem = format!("{bytes} bytes are more than the {MAX_FILE_BYTES} that are read");
        return Err(wrong(path, problem));
    }
    let mut content = Vec::new();
    content.try_reserve_exact(bytes as usize).map_err(|_| wrong(path, no_memory(bytes)))?;
    file.take(MAX_FILE_BYTES as u64).read_to_end(&mut content).map_err(fail())?;
    Ok(content)
}

pub(super) fn no_memory(bytes: impl std::fmt::Display) -> Problem {
    format!("there is no memory for its {bytes} bytes")
}

/// The elements of a rewritten data set.
pub(super) fn parse_elements(data_set: &DataSet) -> Result<InMemDicomObject, Problem> {
    let syntax = EXPLICIT_VR_LITTLE_ENDIAN.erased();
    let parsed = InMemDicomObject::read_dataset_with_ts(data_set.elements.as_slice(), &syntax);
    parsed.map_err(|error| explain(&error))
}

/// The transfer syntax that fits a data set whose header names none.
fn syntax_of(data_set: &DataSet, content: &[u8], encoding: Encoding) -> &'static str {
    let first = match &data_set.pixels {
        Some(PixelData::Fragments { fragments, .. }) => fragments.first().cloned(),
        _ => None,
    };
    first.map_or(encoding.native_syntax(), |range| codec::syntax_of(&content[range]))
}

/// Bytes that change places in the pixels of a big endian file.
fn swapped_width(object: &InMemDicomObject) -> usize {
    let allocated = Fields::new(object, Path::new("")).whole(tags::BITS_ALLOCATED, 16);
    match allocated {
        Ok(32) => 4,
        Ok(64) => 8,
        _ => 2,
    }
}

/// PixelData as an element; it takes over the file's bytes without a copy.
fn pixel_element(
    pixels: PixelData,
    mut content: Vec<u8>,
    swapped: usize,
) -> Result<InMemElement, Problem> {
    match pixels {
        PixelData::Native { bytes, vr } => {
            let there = content.len().saturating_sub(bytes.start);
            if there < bytes.len() {
                let length = bytes.len();
                return Err(format!(
                    "truncated: its pixels take {length} bytes, {there} are there; copy the file \
                     again from its source"
                ));
            }
            content.truncate(bytes.end);
            content.drain(..bytes.start);
            if vr != VR::OB {
                swap_bytes(&mut content, swapped);
            }
            let vr = if vr == VR::OB { VR::OB } else { VR::OW };
            Ok(DataElement::new(tags::PIXEL_DATA, vr, PrimitiveValue::from(content)))
        }
        PixelData::Fragments { offsets, fragments } => {
            let bytes = |range: Range<usize>| content[range].to_vec();
            let offsets = content[offsets].as_chunks().0.iter().map(|b| u32::from_le_bytes(*b));
            let offsets: Vec<u32> = offsets.collect();
            let fragments: Vec<Vec<u8>> = fragments.into_iter().map(bytes).collect();
            let sequence = PixelFragmentSequence::new(offsets, fragments);
            Ok(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(sequence)))
        }
    }
}

/// A whole file.
#[cfg(test)]
pub(super) fn open(path: &Path) -> Result<DefaultDicomObject> {
    DicomFile::read(path, ReadExtent::Whole).map(|file| file.object)
}
