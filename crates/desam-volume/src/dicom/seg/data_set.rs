//! The object itself.

use super::super::elements::{Elements, decimal, decimals};
use super::super::header::Slice;
use super::source::Source;
use super::{Code, SegmentLabel};
use desam_core::LabelVolume;
use dicom_dictionary_std::tags;
use dicom_dictionary_std::uids::{EXPLICIT_VR_LITTLE_ENDIAN, SEGMENTATION_STORAGE};
use std::collections::BTreeSet;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A mask of a series, to be written.
pub(super) struct Segmentation<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) mask: &'a LabelVolume,
    pub(super) label: &'a SegmentLabel,
    /// SpecificCharacterSet, in which both the source's values and the label's texts are right.
    pub(super) character_set: Option<&'a [u8]>,
}

impl Segmentation<'_> {
    /// The file; `None` where its pixels are more than an element can hold.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let pixels = self.pixels();
        let identity = self.identity(&pixels);
        let instance = uid("instance", &identity);
        let meta = Elements::default()
            .binary(tags::FILE_META_INFORMATION_VERSION, vec![0, 1])?
            .text(tags::MEDIA_STORAGE_SOP_CLASS_UID, b"UI", SEGMENTATION_STORAGE)
            .text(tags::MEDIA_STORAGE_SOP_INSTANCE_UID, b"UI", &instance)
            .text(tags::TRANSFER_SYNTAX_UID, b"UI", EXPLICIT_VR_LITTLE_ENDIAN)
            .text(
                tags::IMPLEMENTATION_CLASS_UID,
                b"UI",
                &uid("implementation", &blake3::hash(b"desam")),
            )
            .text(tags::IMPLEMENTATION_VERSION_NAME, b"SH", "DESAM")
            .bytes();
        let length = u32::try_from(meta.len()).ok()?.to_le_bytes();
        let object = self.object(&identity).text(tags::SOP_INSTANCE_UID, b"UI", &instance);
        let object = object.binary(tags::PIXEL_DATA, pixels)?;
        let start: [&[u8]; 4] = [&[0; 128], b"DICM\x02\x00\x00\x00UL\x04\x00", &length, &meta];
        Some([start.concat(), object.bytes()].concat())
    }

    /// The mask's bits, frame after frame without a gap, the first pixel in the lowest bit.
    fn pixels(&self) -> Vec<u8> {
        let bit = |(at, value): (usize, &u8)| u8::from(*value > 0) << at;
        let byte = |eight: &[u8]| eight.iter().enumerate().map(bit).sum();
        self.mask.data().chunks(8).map(byte).collect()
    }

    /// A hash of all that makes this object another than the next.
    fn identity(&self, pixels: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_derive_key("desam DICOM segmentation v1");
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        let SegmentLabel { name, category, property, algorithm } = self.label;
        add(self.source.series.as_bytes());
        for slice in &self.source.stack.slices {
            add(slice.file.instance.as_bytes());
            add(&(slice.frame as u64).to_le_bytes());
        }
        let codes =
            [category, property].into_iter().flat_map(|c| [&c.value, &c.scheme, &c.meaning]);
        for text in [name, algorithm].into_iter().chain(codes) {
            add(text.as_bytes());
        }
        add(VERSION.as_bytes());
        add(self.character_set.unwrap_or_default());
        add(pixels);
        hasher.finalize()
    }

    /// Everything but the object's own UID and its pixels.
    fn object(&self, identity: &blake3::Hash) -> Elements {
        let Source { stack, date, time, .. } = self.source;
        let [columns, rows, frames] = stack.grid.dims.map(|n| n as u64);
        let organisation = uid("dimensions", identity);
        let dimension = |pointer, group, name| {
            Elements::default()
                .text(tags::DIMENSION_ORGANIZATION_UID, b"UI", &organisation)
                .pointer(tags::DIMENSION_INDEX_POINTER, pointer)
                .pointer(tags::FUNCTIONAL_GROUP_POINTER, group)
                .text(tags::DIMENSION_DESCRIPTION_LABEL, b"LO", name)
        };
        let frame = |(index, slice)| self.frame(index, slice);
        let mut elements = self.source.kept.clone();
        if let Some(set) = self.character_set {
            elements = elements.encoded_text(tags::SPECIFIC_CHARACTER_SET, b"CS", set);
        }
        elements
            .text(tags::IMAGE_TYPE, b"CS", "DERIVED\\PRIMARY")
            .text(tags::SOP_CLASS_UID, b"UI", SEGMENTATION_STORAGE)
            .text(tags::CONTENT_DATE, b"DA", date)
            .text(tags::CONTENT_TIME, b"TM", time)
            .text(tags::MODALITY, b"CS", "SEG")
            .text(tags::MANUFACTURER, b"LO", "desam")
            .text(tags::SERIES_DESCRIPTION, b"LO", "desam segmentation")
            .text(tags::MANUFACTURER_MODEL_NAME, b"LO", "desam")
            .sequence(tags::REFERENCED_SERIES_SEQUENCE, [self.references()])
            .text(tags::DEVICE_SERIAL_NUMBER, b"LO", "none")
            .text(tags::SOFTWARE_VERSIONS, b"LO", VERSION)
            .text(tags::SERIES_INSTANCE_UID, b"UI", &uid("series", identity))
            .text(tags::SERIES_NUMBER, b"IS", "1000")
            .text(tags::INSTANCE_NUMBER, b"IS", "1")
            .sequence(
                tags::DIMENSION_ORGANIZATION_SEQUENCE,
                [Elements::default().text(tags::DIMENSION_ORGANIZATION_UID, b"UI", &organisation)],
            )
            .sequence(
                tags::DIMENSION_INDEX_SEQUENCE,
                [
                    dimension(
                        tags::REFERENCED_SEGMENT_NUMBER,
                        tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                        "Segment",
                    ),
                    dimension(
                        tags::IMAGE_POSITION_PATIENT,
                        tags::PLANE_POSITION_SEQUENCE,
                        "Position",
                    ),
                ],
            )
            .short(tags::SAMPLES_PER_PIXEL, 1)
            .text(tags::PHOTOMETRIC_INTERPRETATION, b"CS", "MONOCHROME2")
            .text(tags::NUMBER_OF_FRAMES, b"IS", &frames.to_string())
            // A slice's sides come from 16 bits.
            .short(tags::ROWS, rows as u16)
            .short(tags::COLUMNS, columns as u16)
            .short(tags::BITS_ALLOCATED, 1)
            .short(tags::BITS_STORED, 1)
            .short(tags::HIGH_BIT, 0)
            .short(tags::PIXEL_REPRESENTATION, 0)
            .text(tags::LOSSY_IMAGE_COMPRESSION, b"CS", "00")
            .text(tags::SEGMENTATION_TYPE, b"CS", "BINARY")
            .sequence(tags::SEGMENT_SEQUENCE, [self.segment()])
            .text(tags::SEGMENTS_OVERLAP, b"CS", "NO")
            .text(tags::CONTENT_LABEL, b"CS", "SEGMENTATION")
            .text(tags::CONTENT_DESCRIPTION, b"LO", "mask of a model")
            .text(tags::CONTENT_CREATOR_NAME, b"PN", "desam")
            .sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, [self.shared()])
            .sequence(
                tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
                stack.slices.iter().enumerate().map(frame),
            )
    }

    /// The series and all of its files.
    fn references(&self) -> Elements {
        let mut named = BTreeSet::new();
        let files = self.source.stack.slices.iter().filter(|s| named.insert(&s.file.instance));
        let files: Vec<Elements> = files.map(reference).collect();
        Elements::default()
            .text(tags::SERIES_INSTANCE_UID, b"UI", &self.source.series)
            .sequence(tags::REFERENCED_INSTANCE_SEQUENCE, files)
    }

    fn segment(&self) -> Elements {
        let SegmentLabel { name, category, property, algorithm } = self.label;
        Elements::default()
            .sequence(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, [code(category)])
            .short(tags::SEGMENT_NUMBER, 1)
            .text(tags::SEGMENT_LABEL, b"LO", name)
            .text(tags::SEGMENT_ALGORITHM_TYPE, b"CS", "AUTOMATIC")
            .text(tags::SEGMENT_ALGORITHM_NAME, b"LO", algorithm)
            .sequence(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, [code(property)])
    }

    /// What is the same in all frames.
    fn shared(&self) -> Elements {
        let Some(Slice { place, .. }) = self.source.stack.slices.first() else {
            return Elements::default();
        };
        let apart = decimal(self.source.stack.grid.spacing()[2]);
        let measures = Elements::default()
            .text(tags::SLICE_THICKNESS, b"DS", &apart)
            .text(tags::SPACING_BETWEEN_SLICES, b"DS", &apart)
            .text(tags::PIXEL_SPACING, b"DS", &decimals(place.spacing));
        let directions = [place.along_row, place.along_column].concat();
        let plane =
            Elements::default().text(tags::IMAGE_ORIENTATION_PATIENT, b"DS", &decimals(directions));
        Elements::default()
            .sequence(tags::PLANE_ORIENTATION_SEQUENCE, [plane])
            .sequence(tags::PIXEL_MEASURES_SEQUENCE, [measures])
    }

    /// What is a frame's own: where it lies, and which slice it is of.
    fn frame(&self, index: usize, slice: &Slice) -> Elements {
        let mut image = reference(slice).sequence(
            tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE,
            [code(&Code::new("121322", "DCM", "Source image for image processing operation"))],
        );
        if slice.file.frames > 1 {
            image =
                image.text(tags::REFERENCED_FRAME_NUMBER, b"IS", &(slice.frame + 1).to_string());
        }
        let derivation =
            Elements::default().sequence(tags::SOURCE_IMAGE_SEQUENCE, [image]).sequence(
                tags::DERIVATION_CODE_SEQUENCE,
                [code(&Code::new("113076", "DCM", "Segmentation"))],
            );
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let content = Elements::default().long_pair(tags::DIMENSION_INDEX_VALUES, [1, number]);
        let position = decimals(slice.place.position);
        Elements::default()
            .sequence(tags::DERIVATION_IMAGE_SEQUENCE, [derivation])
            .sequence(tags::FRAME_CONTENT_SEQUENCE, [content])
            .sequence(
                tags::PLANE_POSITION_SEQUENCE,
                [Elements::default().text(tags::IMAGE_POSITION_PATIENT, b"DS", &position)],
            )
            .sequence(
                tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                [Elements::default().short(tags::REFERENCED_SEGMENT_NUMBER, 1)],
            )
    }
}

/// A file by its UIDs.
fn reference(slice: &Slice) -> Elements {
    let elements =
        Elements::default().text(tags::REFERENCED_SOP_CLASS_UID, b"UI", &slice.file.class);
    elements.text(tags::REFERENCED_SOP_INSTANCE_UID, b"UI", &slice.file.instance)
}

fn code(code: &Code) -> Elements {
    Elements::default()
        .text(tags::CODE_VALUE, b"SH", &code.value)
        .text(tags::CODING_SCHEME_DESIGNATOR, b"SH", &code.scheme)
        .text(tags::CODE_MEANING, b"LO", &code.meaning)
}

/// A UID from a hash: `2.25.` and a number of 128 bits (PS3.5, B.2).
fn uid(purpose: &str, identity: &blake3::Hash) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("desam DICOM UID v1");
    hasher.update(identity.as_bytes());
    hasher.update(purpose.as_bytes());
    let mut number = [0; 16];
    hasher.finalize_xof().fill(&mut number);
    format!("2.25.{}", u128::from_le_bytes(number))
}
