//! DICOM objects of several frames, written by a library that desam does not write with.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject, Tag};

const ROWS: u16 = 6;
const COLUMNS: u16 = 5;

fn text(tag: Tag, vr: VR, text: &str) -> InMemElement {
    DataElement::new(tag, vr, PrimitiveValue::from(text))
}

fn short(tag: Tag, value: u16) -> InMemElement {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

fn items(tag: Tag, items: Vec<Vec<InMemElement>>) -> InMemElement {
    let items: Vec<_> = items.into_iter().map(InMemDicomObject::from_element_iter).collect();
    DataElement::new(tag, VR::SQ, dicom_core::value::DataSetSequence::from(items))
}

/// A frame at a height, of a segment where it is of one.
fn frame(height: f64, segment: Option<u16>) -> Vec<InMemElement> {
    let position = text(tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("1\\2\\{height}"));
    let place = items(tags::PLANE_POSITION_SEQUENCE, vec![vec![position]]);
    let segment = segment.map(|number| {
        let number = short(tags::REFERENCED_SEGMENT_NUMBER, number);
        items(tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![vec![number]])
    });
    [place].into_iter().chain(segment).collect()
}

/// An object of the frames, with pixels of `bits`.
fn object(class: &str, frames: Vec<Vec<InMemElement>>, bits: u16) -> Vec<InMemElement> {
    let orientation = text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0");
    let measures = vec![
        text(tags::SPACING_BETWEEN_SLICES, VR::DS, "3"),
        text(tags::PIXEL_SPACING, VR::DS, "0.5\\0.5"),
    ];
    let shared = vec![
        items(tags::PLANE_ORIENTATION_SEQUENCE, vec![vec![orientation]]),
        items(tags::PIXEL_MEASURES_SEQUENCE, vec![measures]),
    ];
    vec![
        text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
        text(tags::SOP_CLASS_UID, VR::UI, class),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4"),
        text(tags::PATIENT_NAME, VR::PN, "Doe^J"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.1"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3"),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.2"),
        short(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.len().to_string()),
        short(tags::ROWS, ROWS),
        short(tags::COLUMNS, COLUMNS),
        short(tags::BITS_ALLOCATED, bits),
        short(tags::BITS_STORED, bits),
        short(tags::HIGH_BIT, bits - 1),
        short(tags::PIXEL_REPRESENTATION, 0),
        items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]),
        items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames),
    ]
}

fn file(elements: Vec<InMemElement>, class: &str, syntax: &str) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(syntax)
        .media_storage_sop_class_uid(class)
        .media_storage_sop_instance_uid("1.2.3.4");
    let object = InMemDicomObject::from_element_iter(elements).with_meta(meta).unwrap();
    let mut bytes = Vec::new();
    object.write_all(&mut bytes).unwrap();
    bytes
}

/// An enhanced MR image of three frames.
pub(super) fn frames(syntax: &str) -> Vec<u8> {
    let class = uids::ENHANCED_MR_IMAGE_STORAGE;
    let frames = [0.0, 3.0, 6.0].map(|height| frame(height, None));
    let mut elements = object(class, frames.into(), 16);
    let words: Vec<u16> = (0..ROWS * COLUMNS * 3).map(|v| v * 37 % 997).collect();
    elements.push(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words.into())));
    file(elements, class, syntax)
}

/// A slice of a series, as older scanners write it.
pub(super) fn slice() -> Vec<u8> {
    let class = uids::MR_IMAGE_STORAGE;
    let words: Vec<u16> = (0..ROWS * COLUMNS).map(|v| v * 37 % 997).collect();
    let mut elements = object(class, Vec::new(), 16);
    let is_of_frames = |element: &InMemElement| {
        let tag = element.header().tag;
        tag.group() == 0x5200 || tag == tags::NUMBER_OF_FRAMES
    };
    elements.retain(|element| !is_of_frames(element));
    elements.extend([
        text(tags::SLICE_THICKNESS, VR::DS, "3"),
        text(tags::IMAGE_POSITION_PATIENT, VR::DS, "1\\2\\3"),
        text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
        text(tags::PIXEL_SPACING, VR::DS, "0.5\\0.5"),
        text(tags::RESCALE_INTERCEPT, VR::DS, "-3"),
        text(tags::RESCALE_SLOPE, VR::DS, "0.5"),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words.into())),
    ]);
    file(elements, class, uids::EXPLICIT_VR_LITTLE_ENDIAN)
}

/// The segments of a segmentation, by their numbers.
fn described(kind: &str, numbers: &[u16]) -> Vec<InMemElement> {
    let segment = |number: &u16| {
        vec![short(tags::SEGMENT_NUMBER, *number), text(tags::SEGMENT_LABEL, VR::LO, "a part")]
    };
    vec![
        text(tags::SEGMENTATION_TYPE, VR::CS, kind),
        items(tags::SEGMENT_SEQUENCE, numbers.iter().map(segment).collect()),
    ]
}

fn with_bytes(mut elements: Vec<InMemElement>, pixels: Vec<u8>) -> Vec<InMemElement> {
    elements.push(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(pixels.into())));
    elements
}

/// A binary segmentation of two segments in three planes of which one has no frame.
pub(super) fn segments() -> Vec<u8> {
    let class = uids::SEGMENTATION_STORAGE;
    let frames = [(0.0, 1), (9.0, 1), (0.0, 2)];
    let frames = frames.map(|(height, segment)| frame(height, Some(segment)));
    let mut elements = object(class, frames.into(), 1);
    elements.extend(described("BINARY", &[1, 2]));
    // 90 bits: frames end within a byte. The last frame lies beside the first.
    let pixels = [0x1F, 0, 0x1F, 0, 0xFF, 0x81, 0, 0, 0, 0xF8, 0xFF, 0];
    file(with_bytes(elements, pixels.into()), class, uids::EXPLICIT_VR_LITTLE_ENDIAN)
}

/// A label map of three segments.
pub(super) fn label_map() -> Vec<u8> {
    let class = uids::LABEL_MAP_SEGMENTATION_STORAGE;
    let frames = [0.0, 6.0].map(|height| frame(height, None));
    let mut elements = object(class, frames.into(), 8);
    elements.extend(described("LABELMAP", &[1, 2, 3]));
    let pixels = (0..ROWS * COLUMNS * 2).map(|v| (v % 4) as u8).collect();
    file(with_bytes(elements, pixels), class, uids::IMPLICIT_VR_LITTLE_ENDIAN)
}
