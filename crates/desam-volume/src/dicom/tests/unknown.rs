//! UN elements: sequences of undefined length whose items are implicit VR little endian (PS3.5,
//! 6.2.2, CP-246), and standard elements that a program wrote as UN because it did not know them.

use super::super::attributes;
use super::super::element::{ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION};
use super::drafts::joined;
use super::*;
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::Tag;

const UNDEFINED: [u8; 4] = [0xFF; 4];

fn name(tag: Tag) -> [u8; 4] {
    let [a, b] = tag.group().to_le_bytes();
    let [c, d] = tag.element().to_le_bytes();
    [a, b, c, d]
}

/// An element or an item of implicit VR little endian.
fn implicit(tag: Tag, value: &[u8]) -> Vec<u8> {
    [&name(tag)[..], &(value.len() as u32).to_le_bytes(), value].concat()
}

/// The same of undefined length.
fn open(tag: Tag, value: &[u8], end: Tag) -> Vec<u8> {
    [&name(tag)[..], &UNDEFINED, value, &implicit(end, &[])].concat()
}

/// An element of VR UN, of undefined length where `open`.
fn unknown(tag: Tag, value: &[u8], open: bool) -> Vec<u8> {
    let (length, end) = if open {
        (UNDEFINED, implicit(SEQUENCE_DELIMITATION, &[]))
    } else {
        ((value.len() as u32).to_le_bytes(), Vec::new())
    };
    [&name(tag)[..], b"UN\0\0", &length, value, &end].concat()
}

#[test]
fn of_undefined_length() {
    let scratch = Scratch::new();
    let uid = implicit(tags::REFERENCED_SOP_INSTANCE_UID, b"1.2.3.44");
    let long = implicit(Tag(0x2005, 0x1402), &[7; 300]);
    // Lengths whose bytes are the letters of a VR.
    let trap = implicit(Tag(0x2005, 0x1001), &[0; 0x424F]);
    let defined = implicit(ITEM, &uid);
    let undefined = open(ITEM, &[uid.clone(), long].concat(), ITEM_DELIMITATION);
    let two = [defined.clone(), undefined.clone()].concat();
    let private = Tag(0x2005, 0x140F);
    let nested = |item: &[u8]| {
        let inner = open(private, item, SEQUENCE_DELIMITATION);
        let outer = implicit(tags::REFERENCED_IMAGE_SEQUENCE, &implicit(ITEM, &inner));
        [open(ITEM, &[inner, outer].concat(), ITEM_DELIMITATION), defined.clone()].concat()
    };
    // Some programs write the items explicitly all the same.
    let explicit = [&name(tags::REFERENCED_SOP_INSTANCE_UID)[..], b"UI\x08\x001.2.3.44"].concat();
    let values = [
        Vec::new(),
        implicit(ITEM, &[]),
        defined.clone(),
        undefined.clone(),
        two.clone(),
        nested(&two),
        nested(&nested(&undefined)),
        open(ITEM, &explicit, ITEM_DELIMITATION),
        open(ITEM, &trap, ITEM_DELIMITATION),
        implicit(ITEM, &[trap, uid.clone()].concat()),
    ];
    for tag in [private, tags::REFERENCED_IMAGE_SEQUENCE, Tag(0x0008, 0xFFF0)] {
        for value in &values {
            let slice = Draft { extra: unknown(tag, value, true), ..draft(3.0) };
            let volume = only(&folder(&scratch, &[slice])).unwrap();
            assert_eq!(volume.data()[5], 305.0, "{tag} {value:02X?}");
        }
    }
    let cut = unknown(private, &defined, true);
    for end in 1..cut.len() {
        let slice = Draft { extra: cut[..end].to_vec(), ..draft(3.0) };
        // An error, or the pixels: never anything else.
        if let Ok(volume) = only(&folder(&scratch, &[slice])) {
            assert_eq!(volume.data()[5], 305.0, "{end}");
        }
    }
}

#[test]
fn of_known_length_are_read_where_the_standard_knows_them() {
    let scratch = Scratch::new();
    let slice = draft(3.0);
    let mut bytes = slice.bytes();
    let rows = bytes.windows(8).position(|w| w == b"\x28\0\x10\0US\x02\0").unwrap();
    bytes.splice(rows + 4..rows + 8, *b"UN\0\0\x02\0\0\0");
    let position = bytes.windows(6).position(|w| w == b"\x20\0\x32\0DS").unwrap();
    let length = bytes[position + 6];
    bytes.splice(position + 4..position + 8, [b'U', b'N', 0, 0, length, 0, 0, 0]);
    let volume = only(&scratch.file("rows.dcm", &bytes)).unwrap();
    assert_eq!((volume.grid().dims, volume.data()[5]), ([3, 2, 1], 305.0));
    assert_eq!(volume.grid().affine.0[2][3], 3.0);
    // Of a private one nothing is known, so nothing is looked at.
    let extra = unknown(Tag(0x2005, 0x1402), &implicit(ITEM, &[0xFF; 40]), false);
    assert!(only(&folder(&scratch, &[Draft { extra, ..slice }])).is_ok());
}

/// An enhanced MR image whose functional groups, which say where its frames lie, are UN.
#[test]
fn functional_groups() {
    let scratch = Scratch::new();
    let item = |tag, value: &[u8]| implicit(tag, &implicit(ITEM, value));
    let text = |tag, values: &[f64]| {
        let mut text = joined(values).into_bytes();
        text.resize(text.len().next_multiple_of(2), b' ');
        implicit(tag, &text)
    };
    for undefined in [true, false] {
        let shared = [
            item(
                tags::PLANE_ORIENTATION_SEQUENCE,
                &text(tags::IMAGE_ORIENTATION_PATIENT, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
            ),
            open(
                tags::PIXEL_MEASURES_SEQUENCE,
                &open(ITEM, &text(tags::PIXEL_SPACING, &[0.75, 0.5]), ITEM_DELIMITATION),
                SEQUENCE_DELIMITATION,
            ),
        ]
        .concat();
        let frames: Vec<u8> = [0.0, 3.0]
            .into_iter()
            .flat_map(|z| {
                let position = text(tags::IMAGE_POSITION_PATIENT, &[-10.0, -20.0, z]);
                open(ITEM, &item(tags::PLANE_POSITION_SEQUENCE, &position), ITEM_DELIMITATION)
            })
            .collect();
        let groups = [
            unknown(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, &implicit(ITEM, &shared), undefined),
            unknown(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, &frames, undefined),
        ]
        .concat();
        let count = data_set_bytes(vec![attributes::text(tags::NUMBER_OF_FRAMES, VR::IS, "2")]);
        let mut slice = Draft { extra: [count, groups].concat(), ..draft(0.0) };
        slice.pixels = (0..12).collect();
        let volume = only(&folder(&scratch, &[slice])).unwrap();
        assert_eq!(volume.grid().dims, [3, 2, 2]);
        assert_eq!(
            volume.grid().affine.0,
            [[-0.5, 0.0, 0.0, 10.0], [0.0, -0.75, 0.0, 20.0], [0.0, 0.0, 3.0, 0.0]]
        );
        assert!(volume.data().iter().enumerate().all(|(i, v)| i as f32 == *v));
    }
}

/// Why the data set is rewritten before the parser reads it (`docs/decisions/dicom-parser.md`). When
/// this fails, `dicom-object` has been mended.
#[test]
fn the_parser_alone_fails() {
    let scratch = Scratch::new();
    let uid = implicit(tags::REFERENCED_SOP_INSTANCE_UID, b"1.2.3.44");
    let undefined = unknown(Tag(0x2005, 0x140F), &implicit(ITEM, &uid), true);
    let width = b"\x08\x00\x32\x00SL\x06\x00115754".to_vec();
    for extra in [undefined, width] {
        let slice = Draft { extra, ..draft(3.0) };
        let parsed = dicom_object::from_reader(slice.bytes().as_slice());
        let error = parsed.map(|_| ()).unwrap_err();
        assert!(header::explain(&error).contains("Could not read"), "{}", header::explain(&error));
        assert_eq!(only(&folder(&scratch, &[slice])).unwrap().data()[5], 305.0);
    }
}
