//! Encapsulated PixelData: fragments to frames, and the decoder of each transfer syntax.

use super::encoding::EXPLICIT_VR_BIG_ENDIAN;
use super::header::{SliceFile, explain};
use super::{jpeg, jpeg_ls, jpeg2000, rle, wrong};
use crate::{Error, Result};
use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_pixeldata::PixelDecoder;
use std::borrow::Cow;

/// The codec of a transfer syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Uncompressed.
    Native,
    /// PackBits (PS3.5, annex G).
    Rle,
    /// Baseline, extended and lossless.
    Jpeg,
    JpegLs,
    Jpeg2000,
}

/// Magic bytes of a compressed image.
const JPEG: &[u8] = &[0xFF, 0xD8];
const JPEG_LS: &[u8] = &[0xFF, 0xD8, 0xFF, 0xF7];
const JPEG_2000: &[u8] = &[0xFF, 0x4F, 0xFF, 0x51];

/// Largest compression ratio that is believed, and bytes that any frame may take: beyond both the
/// header is rejected.
const MAX_RATIO: usize = 1032;
const FREE_BYTES: usize = 16 << 20;

impl Codec {
    /// The codec of a transfer syntax; `None` where it is not read.
    pub(super) fn of(transfer_syntax: &str) -> Option<Self> {
        Some(match transfer_syntax {
            uids::IMPLICIT_VR_LITTLE_ENDIAN
            | uids::EXPLICIT_VR_LITTLE_ENDIAN
            | EXPLICIT_VR_BIG_ENDIAN
            | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => Self::Native,
            uids::RLE_LOSSLESS => Self::Rle,
            uids::JPEG_BASELINE8_BIT
            | uids::JPEG_EXTENDED12_BIT
            | uids::JPEG_LOSSLESS
            | uids::JPEG_LOSSLESS_SV1 => Self::Jpeg,
            uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => Self::JpegLs,
            uids::JPEG2000_LOSSLESS | uids::JPEG2000 => Self::Jpeg2000,
            _ => return None,
        })
    }

    /// The pixels of one frame, little endian, as many bytes each as BitsAllocated says.
    pub(super) fn decode(self, file: &SliceFile, frame: &[u8]) -> Result<Vec<u8>> {
        let promised = (file.rows * file.columns).saturating_mul(file.bits_allocated / 8);
        if promised > frame.len().saturating_mul(MAX_RATIO).max(FREE_BYTES) {
            let (path, expected) = (file.path.clone(), promised as u64);
            return Err(Error::Truncated { path, expected, found: frame.len() as u64 });
        }
        match self {
            Self::Native => Ok(frame.to_vec()),
            Self::Rle => rle::unpack(file, frame),
            Self::Jpeg => decode_jpeg(file, frame),
            Self::JpegLs => jpeg_ls::decode(file, frame),
            Self::Jpeg2000 => jpeg2000::decode(file, frame),
        }
    }
}

/// The transfer syntax of a compressed image, by how it starts.
pub(super) fn syntax_of(image: &[u8]) -> &'static str {
    if image.starts_with(JPEG_LS) {
        uids::JPEGLS_LOSSLESS
    } else if image.starts_with(JPEG) {
        jpeg::syntax_of(image)
    } else if image.starts_with(JPEG_2000) {
        uids::JPEG2000
    } else {
        uids::RLE_LOSSLESS
    }
}

/// The concatenated fragments of one frame.
///
/// # Errors
/// When neither their number nor the Basic Offset Table says which fragments a frame has.
pub(super) fn frame<'a>(
    file: &SliceFile,
    pixels: &'a PixelFragmentSequence<Vec<u8>>,
    index: usize,
) -> Result<Cow<'a, [u8]>> {
    let (fragments, offsets) = (pixels.fragments(), pixels.offset_table());
    let problem = "the encapsulation of its frames is not supported; convert it";
    let refuse = || wrong(&file.path, problem);
    if fragments.len() == file.frames {
        return fragments.get(index).map(|f| f.as_slice().into()).ok_or_else(refuse);
    }
    // Every frame of RLE is one fragment (PS3.5, A.4.2).
    if file.codec() == Some(Codec::Rle) {
        return Err(refuse());
    }
    if file.frames == 1 && !fragments.is_empty() {
        return Ok(fragments.concat().into());
    }
    if offsets.len() != file.frames {
        return Err(refuse());
    }
    let start = offsets.get(index).map(|at| *at as usize);
    let end = offsets.get(index + 1).map_or(usize::MAX, |at| *at as usize);
    let mut at = 0;
    let mut whole = Vec::new();
    for fragment in fragments {
        if start.is_some_and(|start| (start..end).contains(&at)) {
            whole.extend_from_slice(fragment);
        }
        // Offsets count the tag and the length of each item.
        at += fragment.len() + 8;
    }
    Ok(whole.into())
}

/// Decodes one JPEG frame with `dicom-pixeldata`, as a single-frame object.
fn decode_jpeg(file: &SliceFile, frame: &[u8]) -> Result<Vec<u8>> {
    jpeg::check(file, frame)?;
    let fail = |error: &dyn std::error::Error| wrong(&file.path, explain(error));
    let short = |tag, value: usize| {
        DataElement::new(tag, VR::US, PrimitiveValue::from(value.min(0xFFFF) as u16))
    };
    let fragments = PixelFragmentSequence::new(Vec::new(), vec![frame.to_vec()]);
    let photometric = PrimitiveValue::from("MONOCHROME2");
    let object = InMemDicomObject::from_element_iter([
        short(tags::SAMPLES_PER_PIXEL, 1),
        DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric),
        short(tags::ROWS, file.rows),
        short(tags::COLUMNS, file.columns),
        short(tags::BITS_ALLOCATED, file.bits_allocated),
        short(tags::BITS_STORED, file.bits_stored),
        short(tags::HIGH_BIT, file.bits_stored - 1),
        short(tags::PIXEL_REPRESENTATION, usize::from(file.signed)),
        DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(fragments)),
    ]);
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid("")
        .media_storage_sop_instance_uid("")
        .transfer_syntax(file.transfer_syntax.as_str())
        .build()
        .map_err(|error| fail(&error))?;
    let object = object.with_exact_meta(meta);
    let decoded = object.decode_pixel_data().map_err(|error| fail(&error))?;
    let mut bytes = decoded.data().to_vec();
    if cfg!(target_endian = "big") {
        super::encoding::swap_bytes(&mut bytes, file.bits_allocated / 8);
    }
    Ok(bytes)
}
