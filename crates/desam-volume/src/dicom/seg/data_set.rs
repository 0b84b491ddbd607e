//! The data set of a segmentation that is written (PS3.3, A.51).

use super::super::attributes::{Item, attribute_tag, decimal, decimals, other_bytes, sequence};
use super::super::attributes::{text, unsigned_longs, unsigned_short, unsigned_shorts};
use super::super::header::{Slice, explain};
use super::masks::SegmentMasks;
use super::source::Source;
use super::{Code, SegmentLabel};
use crate::segment_color::{dicom_cielab, segment_rgb};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_dictionary_std::uids::{EXPLICIT_VR_LITTLE_ENDIAN, SEGMENTATION_STORAGE};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use std::collections::BTreeSet;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A mask of a series, to be written.
pub(super) struct Segmentation<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) segments: SegmentMasks<'a>,
    /// One for each segment.
    pub(super) labels: &'a [SegmentLabel],
    /// SpecificCharacterSet, in which both the source's values and the labels' texts are right.
    pub(super) character_set: Option<&'a [u8]>,
}

impl Segmentation<'_> {
    /// The file's bytes.
    ///
    /// # Errors
    /// A description of the content that DICOM cannot hold.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        let pixels = self.segments.bits()?;
        let identity = self.identity(&pixels);
        let instance = uid("instance", &identity);
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(SEGMENTATION_STORAGE)
            .media_storage_sop_instance_uid(&instance)
            .transfer_syntax(EXPLICIT_VR_LITTLE_ENDIAN)
            .implementation_class_uid(uid("implementation", &blake3::hash(b"desam")))
            .implementation_version_name("DESAM")
            .build()
            .map_err(|e| explain(&e))?;
        let mut elements = self.elements(&identity);
        elements.push(text(tags::SOP_INSTANCE_UID, VR::UI, &instance));
        elements.push(other_bytes(tags::PIXEL_DATA, pixels));
        let object = InMemDicomObject::from_element_iter(elements);
        let object = object.with_exact_meta(meta);
        let mut file = Vec::new();
        object.write_all(&mut file).map_err(|e| explain(&e))?;
        Ok(file)
    }

    /// A hash of everything that distinguishes this object from others.
    fn identity(&self, pixels: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_derive_key("desam DICOM segmentation v1");
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        add(self.source.series.as_bytes());
        for slice in &self.source.stack.slices {
            add(slice.file.instance.as_bytes());
            add(&(slice.frame as u64).to_le_bytes());
        }
        for SegmentLabel { name, category, property, algorithm } in self.labels {
            let codes =
                [category, property].into_iter().flat_map(|c| [&c.value, &c.scheme, &c.meaning]);
            for text in [name, algorithm].into_iter().chain(codes) {
                add(text.as_bytes());
            }
        }
        add(VERSION.as_bytes());
        add(self.character_set.unwrap_or_default());
        add(pixels);
        hasher.finalize()
    }

    /// All elements except SOPInstanceUID and PixelData.
    fn elements(&self, identity: &blake3::Hash) -> Item {
        let Source { stack, date, time, .. } = self.source;
        let [columns, rows, slices] = stack.grid.dims.map(|n| n as u64);
        let frames = slices * self.labels.len() as u64;
        let organisation = uid("dimensions", identity);
        let organisation = text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organisation);
        let dimension = |pointer, group, name| {
            vec![
                organisation.clone(),
                attribute_tag(tags::DIMENSION_INDEX_POINTER, pointer),
                attribute_tag(tags::FUNCTIONAL_GROUP_POINTER, group),
                text(tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, name),
            ]
        };
        let dimensions = [
            dimension(
                tags::REFERENCED_SEGMENT_NUMBER,
                tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                "Segment",
            ),
            dimension(tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE, "Position"),
        ];
        let numbered = self.segments.numbers().zip(self.labels);
        let segments = numbered.map(|(number, label)| self.segment(number, label));
        let per_frame = self.segments.numbers().flat_map(|number| {
            let slices = stack.slices.iter().enumerate();
            slices.map(move |(index, slice)| frame(number, index, slice))
        });
        let mut elements = self.source.kept.clone();
        elements
            .extend(self.character_set.map(|set| text(tags::SPECIFIC_CHARACTER_SET, VR::CS, set)));
        elements.extend([
            text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY"),
            text(tags::SOP_CLASS_UID, VR::UI, SEGMENTATION_STORAGE),
            text(tags::CONTENT_DATE, VR::DA, date),
            text(tags::CONTENT_TIME, VR::TM, time),
            text(tags::MODALITY, VR::CS, "SEG"),
            text(tags::MANUFACTURER, VR::LO, "desam"),
            text(tags::SERIES_DESCRIPTION, VR::LO, "desam segmentation"),
            text(tags::MANUFACTURER_MODEL_NAME, VR::LO, "desam"),
            sequence(tags::REFERENCED_SERIES_SEQUENCE, [self.referenced_series()]),
            text(tags::DEVICE_SERIAL_NUMBER, VR::LO, "none"),
            text(tags::SOFTWARE_VERSIONS, VR::LO, VERSION),
            text(tags::SERIES_INSTANCE_UID, VR::UI, uid("series", identity)),
            text(tags::SERIES_NUMBER, VR::IS, "1000"),
            text(tags::INSTANCE_NUMBER, VR::IS, "1"),
            sequence(tags::DIMENSION_ORGANIZATION_SEQUENCE, [vec![organisation.clone()]]),
            sequence(tags::DIMENSION_INDEX_SEQUENCE, dimensions),
            unsigned_short(tags::SAMPLES_PER_PIXEL, 1),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            text(tags::NUMBER_OF_FRAMES, VR::IS, frames.to_string()),
            // A slice's sides come from 16 bits.
            unsigned_short(tags::ROWS, rows as u16),
            unsigned_short(tags::COLUMNS, columns as u16),
            unsigned_short(tags::BITS_ALLOCATED, 1),
            unsigned_short(tags::BITS_STORED, 1),
            unsigned_short(tags::HIGH_BIT, 0),
            unsigned_short(tags::PIXEL_REPRESENTATION, 0),
            text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
            text(tags::SEGMENTATION_TYPE, VR::CS, "BINARY"),
            sequence(tags::SEGMENT_SEQUENCE, segments),
            text(tags::SEGMENTS_OVERLAP, VR::CS, "NO"),
            text(tags::CONTENT_LABEL, VR::CS, "SEGMENTATION"),
            text(tags::CONTENT_DESCRIPTION, VR::LO, "mask of a model"),
            text(tags::CONTENT_CREATOR_NAME, VR::PN, "desam"),
            sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, [self.shared_groups()]),
            sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, per_frame),
        ]);
        elements
    }

    /// The series and all of its files.
    fn referenced_series(&self) -> Item {
        let mut named = BTreeSet::new();
        let files = self.source.stack.slices.iter().filter(|s| named.insert(&s.file.instance));
        vec![
            text(tags::SERIES_INSTANCE_UID, VR::UI, &self.source.series),
            sequence(tags::REFERENCED_INSTANCE_SEQUENCE, files.map(reference)),
        ]
    }

    fn segment(&self, number: u16, label: &SegmentLabel) -> Item {
        let SegmentLabel { name, category, property, algorithm } = label;
        let mut item = vec![
            sequence(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, [code(category)]),
            unsigned_short(tags::SEGMENT_NUMBER, number),
            text(tags::SEGMENT_LABEL, VR::LO, name),
            text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC"),
            text(tags::SEGMENT_ALGORITHM_NAME, VR::LO, algorithm),
            sequence(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, [code(property)]),
        ];
        // A colour distinguishes segments.
        if self.labels.len() > 1 {
            let color = dicom_cielab(segment_rgb(usize::from(number)));
            item.push(unsigned_shorts(tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE, &color));
        }
        item
    }

    /// Functional groups that all frames share: orientation, spacing, thickness.
    fn shared_groups(&self) -> Item {
        let Some(Slice { image_plane, .. }) = self.source.stack.slices.first() else {
            return Item::new();
        };
        let apart = decimal(self.source.stack.grid.spacing()[2]);
        let measures = vec![
            text(tags::SLICE_THICKNESS, VR::DS, &apart),
            text(tags::SPACING_BETWEEN_SLICES, VR::DS, &apart),
            text(tags::PIXEL_SPACING, VR::DS, decimals(image_plane.spacing)),
        ];
        let directions =
            decimals([image_plane.row_direction, image_plane.column_direction].concat());
        let orientation = vec![text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, directions)];
        vec![
            sequence(tags::PLANE_ORIENTATION_SEQUENCE, [orientation]),
            sequence(tags::PIXEL_MEASURES_SEQUENCE, [measures]),
        ]
    }
}

/// Functional groups of one frame: its segment, its position, and the slice that it was derived from.
fn frame(segment: u16, index: usize, slice: &Slice) -> Item {
    let purpose = Code::new("121322", "DCM", "Source image for image processing operation");
    let mut image = reference(slice);
    image.push(sequence(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, [code(&purpose)]));
    if slice.file.frames > 1 {
        let number = (slice.frame + 1).to_string();
        image.push(text(tags::REFERENCED_FRAME_NUMBER, VR::IS, number));
    }
    let derivation = vec![
        sequence(tags::SOURCE_IMAGE_SEQUENCE, [image]),
        sequence(
            tags::DERIVATION_CODE_SEQUENCE,
            [code(&Code::new("113076", "DCM", "Segmentation"))],
        ),
    ];
    let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
    let content = vec![unsigned_longs(tags::DIMENSION_INDEX_VALUES, &[segment.into(), number])];
    let position = decimals(slice.image_plane.position);
    let position = vec![text(tags::IMAGE_POSITION_PATIENT, VR::DS, position)];
    let segment = vec![unsigned_short(tags::REFERENCED_SEGMENT_NUMBER, segment)];
    vec![
        sequence(tags::DERIVATION_IMAGE_SEQUENCE, [derivation]),
        sequence(tags::FRAME_CONTENT_SEQUENCE, [content]),
        sequence(tags::PLANE_POSITION_SEQUENCE, [position]),
        sequence(tags::SEGMENT_IDENTIFICATION_SEQUENCE, [segment]),
    ]
}

/// A file by its UIDs.
fn reference(slice: &Slice) -> Item {
    vec![
        text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &slice.file.class),
        text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &slice.file.instance),
    ]
}

fn code(code: &Code) -> Item {
    vec![
        text(tags::CODE_VALUE, VR::SH, &code.value),
        text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, &code.scheme),
        text(tags::CODE_MEANING, VR::LO, &code.meaning),
    ]
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
