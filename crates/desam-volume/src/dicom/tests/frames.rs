//! Files of several frames.

use super::super::attributes::{Item, other_bytes, sequence, text, unsigned_short};
use super::drafts::joined;
use super::*;
use desam_core::ClassTable;
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;

/// An enhanced MR image of frames of 3 × 2 pixels at these heights, with `changed` elements.
fn enhanced(heights: &[f64], changed: &[InMemElement]) -> Vec<u8> {
    let frame = |height: &f64| {
        let position = joined(&[-10.0, -20.0, *height]);
        let position = vec![text(tags::IMAGE_POSITION_PATIENT, VR::DS, position)];
        let transformation = vec![
            text(tags::RESCALE_INTERCEPT, VR::DS, "-1"),
            text(tags::RESCALE_SLOPE, VR::DS, "0.5"),
        ];
        vec![
            sequence(tags::PLANE_POSITION_SEQUENCE, [position]),
            sequence(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, [transformation]),
        ]
    };
    let orientation = vec![text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0")];
    let measures = vec![
        text(tags::SLICE_THICKNESS, VR::DS, "3"),
        text(tags::PIXEL_SPACING, VR::DS, "0.75\\0.5"),
    ];
    let shared = vec![
        sequence(tags::PLANE_ORIENTATION_SEQUENCE, [orientation]),
        sequence(tags::PIXEL_MEASURES_SEQUENCE, [measures]),
    ];
    let pixels = (0..heights.len() as u16 * 6).flat_map(u16::to_le_bytes).collect();
    let mut elements: Item = vec![
        text(tags::SOP_CLASS_UID, VR::UI, uids::ENHANCED_MR_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.1"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3"),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.2"),
        unsigned_short(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        text(tags::NUMBER_OF_FRAMES, VR::IS, heights.len().to_string()),
        unsigned_short(tags::ROWS, 2),
        unsigned_short(tags::COLUMNS, 3),
        unsigned_short(tags::BITS_ALLOCATED, 16),
        unsigned_short(tags::BITS_STORED, 16),
        unsigned_short(tags::HIGH_BIT, 15),
        unsigned_short(tags::PIXEL_REPRESENTATION, 0),
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, [shared]),
        sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, heights.iter().map(frame)),
        other_bytes(tags::PIXEL_DATA, pixels),
    ];
    // The last element of a tag is the one that is written.
    elements.extend_from_slice(changed);
    file_bytes(elements)
}

#[test]
fn frames_are_slices_in_the_order_of_their_places() {
    let scratch = Scratch::new();
    let path = scratch.file("mr.dcm", &enhanced(&[6.0, 0.0, 3.0], &[]));
    let volume = only(&path).unwrap();
    // By hand: as the single slices of `draft`, frames 1, 2 and 0, half of each value less one.
    let affine =
        desam_core::Affine([[-0.5, 0.0, 0.0, 10.0], [0.0, -0.75, 0.0, 20.0], [0.0, 0.0, 3.0, 0.0]]);
    assert_eq!(volume.grid(), &Grid { dims: [3, 2, 3], affine });
    let expected: Vec<f32> = (6..18).chain(0..6).map(|v| v as f32 * 0.5 - 1.0).collect();
    assert_eq!(volume.data(), expected);
    assert_eq!(files(&path).unwrap(), std::slice::from_ref(&path));
    assert_eq!(list_series(&path).unwrap()[0].len(), 3);
    // Its mask names the frames that it is of.
    let mask = LabelVolume::new(*volume.grid(), (0..18).map(|v| v % 2).collect()).unwrap();
    let out = scratch.path("mask.dcm");
    seg::write_mask_like(&path, &out, &mask, &ClassTable::default()).unwrap();
    assert_eq!(read_labels(&out).unwrap(), mask);
    let object = file::open(&out).unwrap();
    let frames = object.get(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).unwrap().items().unwrap();
    let numbers: Vec<i32> = frames
        .iter()
        .map(|frame| {
            let derived = &frame.get(tags::DERIVATION_IMAGE_SEQUENCE).unwrap().items().unwrap()[0];
            let image = &derived.get(tags::SOURCE_IMAGE_SEQUENCE).unwrap().items().unwrap()[0];
            image.get(tags::REFERENCED_FRAME_NUMBER).unwrap().to_int().unwrap()
        })
        .collect();
    assert_eq!(numbers, [2, 3, 1]);
}

#[test]
fn frames_without_a_place_are_refused() {
    let scratch = Scratch::new();
    let refused = |bytes: Vec<u8>| only(&scratch.file("mr.dcm", &bytes)).unwrap_err().to_string();
    let more = text(tags::NUMBER_OF_FRAMES, VR::IS, "4");
    let error = refused(enhanced(&[0.0, 3.0, 6.0], &[more]));
    assert!(error.contains("4 frames but positions for 3"), "{error}");
    let none = sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, []);
    let error = refused(enhanced(&[0.0, 3.0, 6.0], &[none]));
    assert!(error.contains("positions for 0"), "{error}");
    let error = refused(enhanced(&[0.0, 3.0, 3.0], &[]));
    assert!(error.contains("frame 2 of mr.dcm") && error.contains("frame 3 of mr.dcm"), "{error}");
    assert!(error.contains("same place"), "{error}");
    let elsewhere = sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, []);
    let error = refused(enhanced(&[0.0, 3.0, 6.0], &[elsewhere]));
    assert!(error.contains("ImageOrientationPatient"), "{error}");
    let fewer = other_bytes(tags::PIXEL_DATA, vec![0; 30]);
    let error = refused(enhanced(&[0.0, 3.0, 6.0], &[fewer]));
    assert!(error.contains("truncated"), "{error}");
    // Bits are a segmentation's alone.
    let bits = [tags::BITS_ALLOCATED, tags::BITS_STORED].map(|tag| unsigned_short(tag, 1));
    let error = refused(enhanced(&[0.0, 3.0, 6.0], &bits));
    assert!(error.contains("1 of 1 bits"), "{error}");
}
