//! Slices as scanners write them, for tests.

use super::super::encoding::Encoding;
use crate::voxels::testing::Scratch;
use dicom_dictionary_std::{tags, uids};
use dicom_object::Tag;
use std::path::PathBuf;

/// A slice to be written, as a scanner would: explicit, little endian.
#[derive(Clone)]
pub(in super::super) struct Draft {
    pub(in super::super) syntax: &'static str,
    pub(in super::super) series: String,
    pub(in super::super) description: String,
    pub(in super::super) position: [f64; 3],
    pub(in super::super) orientation: [f64; 6],
    pub(in super::super) rows: u16,
    pub(in super::super) columns: u16,
    pub(in super::super) signed: bool,
    pub(in super::super) rescale: Option<(f64, f64)>,
    pub(in super::super) pixels: Vec<i16>,
    /// Fragments of pixels, where they are packed.
    pub(in super::super) packed: Vec<Vec<u8>>,
    /// The Basic Offset Table.
    pub(in super::super) offsets: Vec<u32>,
    /// Whether the delimiter behind the fragments is missing.
    pub(in super::super) unclosed: bool,
    /// Pixels as words, in place of `pixels`.
    pub(in super::super) words: Vec<u16>,
    pub(in super::super) high_bit: u16,
    /// Elements before the pixels, and bytes behind them.
    pub(in super::super) extra: Vec<u8>,
    pub(in super::super) trailing: Vec<u8>,
    pub(in super::super) class: &'static str,
    pub(in super::super) photometric: &'static str,
    /// Elements that are not written.
    pub(in super::super) without: &'static [Tag],
}

pub(in super::super) const EXPLICIT: &str = uids::EXPLICIT_VR_LITTLE_ENDIAN;

/// 3 × 2 pixels, 0.5 × 0.75 mm, at height `z` of a stack along the body.
pub(in super::super) fn draft(z: f64) -> Draft {
    Draft {
        syntax: EXPLICIT,
        series: "1.2.3".into(),
        description: "t2 tra".into(),
        position: [-10.0, -20.0, z],
        orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        rows: 2,
        columns: 3,
        signed: false,
        rescale: None,
        pixels: (0..6).map(|v| 100 * z as i16 + v).collect(),
        packed: Vec::new(),
        offsets: Vec::new(),
        unclosed: false,
        words: Vec::new(),
        high_bit: 11,
        extra: Vec::new(),
        trailing: Vec::new(),
        class: uids::MR_IMAGE_STORAGE,
        photometric: "MONOCHROME2",
        without: &[],
    }
}

pub(in super::super) fn joined(values: &[f64]) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join("\\")
}

impl Draft {
    /// Its SOPInstanceUID.
    pub(in super::super) fn instance(&self) -> String {
        let [x, _, z] = self.position.map(|v| (v * 10.0).round() as i64 + 10_000);
        format!("{}.{x}.{z}", self.series)
    }

    /// The file without some of its elements.
    pub(in super::super) fn without(self, without: &'static [Tag]) -> Vec<u8> {
        Self { without, ..self }.bytes()
    }

    pub(in super::super) fn bytes(&self) -> Vec<u8> {
        let mut meta = Vec::new();
        element(
            &mut meta,
            tags::TRANSFER_SYNTAX_UID,
            b"UI",
            &padded(self.syntax),
            Encoding::EXPLICIT_LE,
        );
        let mut out = vec![0; 128];
        out.extend(b"DICM");
        element(
            &mut out,
            tags::FILE_META_INFORMATION_GROUP_LENGTH,
            b"UL",
            &(meta.len() as u32).to_le_bytes(),
            Encoding::EXPLICIT_LE,
        );
        out.extend(meta);
        out.extend(self.data_set());
        out
    }

    /// Everything behind the file meta information.
    pub(in super::super) fn data_set(&self) -> Vec<u8> {
        let encoding = Encoding::of(self.syntax);
        let big = encoding.big_endian;
        let mut out = Vec::new();
        let mut put = |tag, vr: &[u8; 2], value: &[u8]| {
            if !self.without.contains(&tag) {
                element(&mut out, tag, vr, value, encoding);
            }
        };
        let short = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        put(tags::SOP_CLASS_UID, b"UI", &padded(self.class));
        put(tags::SOP_INSTANCE_UID, b"UI", &padded(&self.instance()));
        put(tags::SERIES_DESCRIPTION, b"LO", &padded(&self.description));
        put(tags::SLICE_THICKNESS, b"DS", b"3 ");
        put(tags::STUDY_INSTANCE_UID, b"UI", &padded("1.2.1"));
        put(tags::SERIES_INSTANCE_UID, b"UI", &padded(&self.series));
        put(tags::IMAGE_POSITION_PATIENT, b"DS", &padded(&joined(&self.position)));
        put(tags::IMAGE_ORIENTATION_PATIENT, b"DS", &padded(&joined(&self.orientation)));
        put(tags::FRAME_OF_REFERENCE_UID, b"UI", &padded("1.2.2"));
        put(tags::SAMPLES_PER_PIXEL, b"US", &short(1));
        put(tags::PHOTOMETRIC_INTERPRETATION, b"CS", &padded(self.photometric));
        put(tags::ROWS, b"US", &short(self.rows));
        put(tags::COLUMNS, b"US", &short(self.columns));
        put(tags::PIXEL_SPACING, b"DS", &padded("0.75\\0.5"));
        put(tags::BITS_ALLOCATED, b"US", &short(16));
        put(tags::BITS_STORED, b"US", &short(12));
        put(tags::HIGH_BIT, b"US", &short(self.high_bit));
        put(tags::PIXEL_REPRESENTATION, b"US", &short(u16::from(self.signed)));
        if let Some((slope, intercept)) = self.rescale {
            put(tags::RESCALE_INTERCEPT, b"DS", &padded(&intercept.to_string()));
            put(tags::RESCALE_SLOPE, b"DS", &padded(&slope.to_string()));
        }
        out.extend(&self.extra);
        if self.without.contains(&tags::PIXEL_DATA) {
            // No pixels at all.
        } else if self.packed.is_empty() {
            let masked = self.pixels.iter().map(|&v| v as u16 & 0x0FFF);
            let words: Vec<u16> = match self.words.as_slice() {
                [] => masked.collect(),
                words => words.to_vec(),
            };
            let words: Vec<u8> = words.into_iter().flat_map(short).collect();
            element(&mut out, tags::PIXEL_DATA, b"OW", &words, encoding);
        } else {
            out.extend([0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
            let offsets: Vec<u8> = self.offsets.iter().flat_map(|v| v.to_le_bytes()).collect();
            for fragment in std::iter::once(&offsets).chain(&self.packed) {
                out.extend([0xFE, 0xFF, 0, 0xE0]);
                out.extend((fragment.len() as u32).to_le_bytes());
                out.extend(fragment);
            }
            if !self.unclosed {
                out.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
            }
        }
        out.extend(&self.trailing);
        out
    }
}

fn padded(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(b' ');
    }
    bytes
}

fn element(out: &mut Vec<u8>, tag: Tag, vr: &[u8; 2], value: &[u8], encoding: Encoding) {
    let Encoding { explicit_vr: explicit, big_endian: big } = encoding;
    let short = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let long = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    out.extend(short(tag.group()));
    out.extend(short(tag.element()));
    if !explicit {
        out.extend(long(value.len() as u32));
    } else if vr == b"OW" {
        out.extend(vr);
        out.extend([0, 0]);
        out.extend(long(value.len() as u32));
    } else {
        out.extend(vr);
        out.extend(short(value.len() as u16));
    }
    out.extend(value);
}

pub(in super::super) fn folder(scratch: &Scratch, drafts: &[Draft]) -> PathBuf {
    let dir = scratch.path("series");
    std::fs::remove_dir_all(&dir).ok();
    std::fs::create_dir(&dir).unwrap();
    for (index, draft) in drafts.iter().enumerate() {
        // Names that say nothing of the order.
        std::fs::write(dir.join(format!("IM{:03}", (index * 7 + 3) % 11)), draft.bytes()).unwrap();
    }
    dir
}
