//! The object itself.

use super::super::elements::{Elements, decimal, decimals};
use super::super::header::{SEGMENTATION, Slice};
use super::source::Source;
use super::{Code, SegmentLabel};
use desam_core::LabelVolume;
use dicom_object::Tag;
use std::collections::BTreeSet;

const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
const VERSION: &str = env!("CARGO_PKG_VERSION");

const CLASS: Tag = Tag(0x0008, 0x1150);
const INSTANCE: Tag = Tag(0x0008, 0x1155);
const POSITION: Tag = Tag(0x0020, 0x0032);
const PLANE_POSITION: Tag = Tag(0x0020, 0x9113);
const FRAME_CONTENT: Tag = Tag(0x0020, 0x9111);
const INDEX_VALUES: Tag = Tag(0x0020, 0x9157);
const ORGANISATION: Tag = Tag(0x0020, 0x9164);
const SEGMENT: Tag = Tag(0x0062, 0x000B);
const SEGMENT_IDENTIFICATION: Tag = Tag(0x0062, 0x000A);

/// A mask of a series, to be written.
pub(super) struct Segmentation<'a> {
    pub(super) source: Source<'a>,
    pub(super) mask: &'a LabelVolume,
    pub(super) label: &'a SegmentLabel,
}

impl Segmentation<'_> {
    /// The file; `None` where its pixels are more than an element can hold.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let pixels = self.pixels();
        let identity = self.identity(&pixels);
        let instance = uid("instance", &identity);
        let meta = Elements::default()
            .binary(Tag(0x0002, 0x0001), vec![0, 1])?
            .text(Tag(0x0002, 0x0002), b"UI", SEGMENTATION)
            .text(Tag(0x0002, 0x0003), b"UI", &instance)
            .text(Tag(0x0002, 0x0010), b"UI", EXPLICIT_LITTLE_ENDIAN)
            .text(Tag(0x0002, 0x0012), b"UI", &uid("implementation", &blake3::hash(b"desam")))
            .text(Tag(0x0002, 0x0013), b"SH", "DESAM")
            .bytes();
        let length = u32::try_from(meta.len()).ok()?.to_le_bytes();
        let object = self.object(&identity).text(Tag(0x0008, 0x0018), b"UI", &instance);
        let object = object.binary(Tag(0x7FE0, 0x0010), pixels)?;
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
        add(pixels);
        hasher.finalize()
    }

    /// Everything but the object's own UID and its pixels.
    fn object(&self, identity: &blake3::Hash) -> Elements {
        let Source { stack, date, time, .. } = &self.source;
        let [columns, rows, frames] = stack.grid.dims.map(|n| n as u64);
        let organisation = uid("dimensions", identity);
        let dimension = |pointer, group, name| {
            Elements::default()
                .text(ORGANISATION, b"UI", &organisation)
                .pointer(Tag(0x0020, 0x9165), pointer)
                .pointer(Tag(0x0020, 0x9167), group)
                .text(Tag(0x0020, 0x9421), b"LO", name)
        };
        let frame = |(index, slice)| self.frame(index, slice);
        let element = self.source.kept.clone();
        element
            .text(Tag(0x0008, 0x0005), b"CS", "ISO_IR 192")
            .text(Tag(0x0008, 0x0008), b"CS", "DERIVED\\PRIMARY")
            .text(Tag(0x0008, 0x0016), b"UI", SEGMENTATION)
            .text(Tag(0x0008, 0x0023), b"DA", date)
            .text(Tag(0x0008, 0x0033), b"TM", time)
            .text(Tag(0x0008, 0x0060), b"CS", "SEG")
            .text(Tag(0x0008, 0x0070), b"LO", "desam")
            .text(Tag(0x0008, 0x103E), b"LO", "desam segmentation")
            .text(Tag(0x0008, 0x1090), b"LO", "desam")
            .sequence(Tag(0x0008, 0x1115), [self.references()])
            .text(Tag(0x0018, 0x1000), b"LO", "none")
            .text(Tag(0x0018, 0x1020), b"LO", VERSION)
            .text(Tag(0x0020, 0x000E), b"UI", &uid("series", identity))
            .text(Tag(0x0020, 0x0011), b"IS", "1000")
            .text(Tag(0x0020, 0x0013), b"IS", "1")
            .sequence(
                Tag(0x0020, 0x9221),
                [Elements::default().text(ORGANISATION, b"UI", &organisation)],
            )
            .sequence(
                Tag(0x0020, 0x9222),
                [
                    dimension(SEGMENT, SEGMENT_IDENTIFICATION, "Segment"),
                    dimension(POSITION, PLANE_POSITION, "Position"),
                ],
            )
            .short(Tag(0x0028, 0x0002), 1)
            .text(Tag(0x0028, 0x0004), b"CS", "MONOCHROME2")
            .text(Tag(0x0028, 0x0008), b"IS", &frames.to_string())
            // A slice's sides come from 16 bits.
            .short(Tag(0x0028, 0x0010), rows as u16)
            .short(Tag(0x0028, 0x0011), columns as u16)
            .short(Tag(0x0028, 0x0100), 1)
            .short(Tag(0x0028, 0x0101), 1)
            .short(Tag(0x0028, 0x0102), 0)
            .short(Tag(0x0028, 0x0103), 0)
            .text(Tag(0x0028, 0x2110), b"CS", "00")
            .text(Tag(0x0062, 0x0001), b"CS", "BINARY")
            .sequence(Tag(0x0062, 0x0002), [self.segment()])
            .text(Tag(0x0062, 0x0013), b"CS", "NO")
            .text(Tag(0x0070, 0x0080), b"CS", "SEGMENTATION")
            .text(Tag(0x0070, 0x0081), b"LO", "mask of a model")
            .text(Tag(0x0070, 0x0084), b"PN", "desam")
            .sequence(Tag(0x5200, 0x9229), [self.shared()])
            .sequence(Tag(0x5200, 0x9230), stack.slices.iter().enumerate().map(frame))
    }

    /// The series and all of its files.
    fn references(&self) -> Elements {
        let mut named = BTreeSet::new();
        let files = self.source.stack.slices.iter().filter(|s| named.insert(&s.file.instance));
        let files: Vec<Elements> = files.map(reference).collect();
        Elements::default()
            .text(Tag(0x0020, 0x000E), b"UI", &self.source.series)
            .sequence(Tag(0x0008, 0x114A), files)
    }

    fn segment(&self) -> Elements {
        let SegmentLabel { name, category, property, algorithm } = self.label;
        Elements::default()
            .sequence(Tag(0x0062, 0x0003), [code(category)])
            .short(Tag(0x0062, 0x0004), 1)
            .text(Tag(0x0062, 0x0005), b"LO", name)
            .text(Tag(0x0062, 0x0008), b"CS", "AUTOMATIC")
            .text(Tag(0x0062, 0x0009), b"LO", algorithm)
            .sequence(Tag(0x0062, 0x000F), [code(property)])
    }

    /// What is the same in all frames.
    fn shared(&self) -> Elements {
        let Some(Slice { place, .. }) = self.source.stack.slices.first() else {
            return Elements::default();
        };
        let apart = decimal(self.source.stack.grid.spacing()[2]);
        let measures = Elements::default()
            .text(Tag(0x0018, 0x0050), b"DS", &apart)
            .text(Tag(0x0018, 0x0088), b"DS", &apart)
            .text(Tag(0x0028, 0x0030), b"DS", &decimals(place.spacing));
        let directions = [place.along_row, place.along_column].concat();
        let plane = Elements::default().text(Tag(0x0020, 0x0037), b"DS", &decimals(directions));
        Elements::default()
            .sequence(Tag(0x0020, 0x9116), [plane])
            .sequence(Tag(0x0028, 0x9110), [measures])
    }

    /// What is a frame's own: where it lies, and which slice it is of.
    fn frame(&self, index: usize, slice: &Slice) -> Elements {
        let mut image = reference(slice).sequence(
            Tag(0x0040, 0xA170),
            [code(&Code::new("121322", "DCM", "Source image for image processing operation"))],
        );
        if slice.file.frames > 1 {
            image = image.text(Tag(0x0008, 0x1160), b"IS", &(slice.frame + 1).to_string());
        }
        let derivation = Elements::default()
            .sequence(Tag(0x0008, 0x2112), [image])
            .sequence(Tag(0x0008, 0x9215), [code(&Code::new("113076", "DCM", "Segmentation"))]);
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let content = Elements::default().long_pair(INDEX_VALUES, [1, number]);
        let position = decimals(slice.place.position);
        Elements::default()
            .sequence(Tag(0x0008, 0x9124), [derivation])
            .sequence(FRAME_CONTENT, [content])
            .sequence(PLANE_POSITION, [Elements::default().text(POSITION, b"DS", &position)])
            .sequence(SEGMENT_IDENTIFICATION, [Elements::default().short(SEGMENT, 1)])
    }
}

/// A file by its UIDs.
fn reference(slice: &Slice) -> Elements {
    let elements = Elements::default().text(CLASS, b"UI", &slice.file.class);
    elements.text(INSTANCE, b"UI", &slice.file.instance)
}

fn code(code: &Code) -> Elements {
    Elements::default()
        .text(Tag(0x0008, 0x0100), b"SH", &code.value)
        .text(Tag(0x0008, 0x0102), b"SH", &code.scheme)
        .text(Tag(0x0008, 0x0104), b"LO", &code.meaning)
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
