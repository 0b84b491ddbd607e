//! Files of several frames.

use super::super::elements::Elements;
use super::drafts::joined;
use super::*;
use dicom_object::Tag;

/// An enhanced MR image of three frames, 3 × 2 pixels, at these heights.
fn enhanced(heights: &[f64], change: impl FnOnce(Elements) -> Elements) -> Vec<u8> {
    let frame = |height: &f64| {
        let position =
            Elements::default().text(Tag(0x20, 0x32), b"DS", &joined(&[-10.0, -20.0, *height]));
        let transform = Elements::default().text(Tag(0x28, 0x1052), b"DS", "-1").text(
            Tag(0x28, 0x1053),
            b"DS",
            "0.5",
        );
        Elements::default()
            .sequence(Tag(0x20, 0x9113), [position])
            .sequence(Tag(0x28, 0x9145), [transform])
    };
    let plane = Elements::default().text(Tag(0x20, 0x37), b"DS", "1\\0\\0\\0\\1\\0");
    let measures = Elements::default().text(Tag(0x18, 0x50), b"DS", "3").text(
        Tag(0x28, 0x30),
        b"DS",
        "0.75\\0.5",
    );
    let shared = Elements::default()
        .sequence(Tag(0x20, 0x9116), [plane])
        .sequence(Tag(0x28, 0x9110), [measures]);
    let pixels = (0..heights.len() as u16 * 6).flat_map(u16::to_le_bytes).collect();
    let object = Elements::default()
        .text(Tag(0x8, 0x16), b"UI", "1.2.840.10008.5.1.4.1.1.4.1")
        .text(Tag(0x8, 0x18), b"UI", "1.2.3.4")
        .text(Tag(0x20, 0xD), b"UI", "1.2.1")
        .text(Tag(0x20, 0xE), b"UI", "1.2.3")
        .text(Tag(0x20, 0x52), b"UI", "1.2.2")
        .short(Tag(0x28, 0x2), 1)
        .text(Tag(0x28, 0x4), b"CS", "MONOCHROME2")
        .text(Tag(0x28, 0x8), b"IS", &heights.len().to_string())
        .short(Tag(0x28, 0x10), 2)
        .short(Tag(0x28, 0x11), 3)
        .short(Tag(0x28, 0x100), 16)
        .short(Tag(0x28, 0x101), 16)
        .short(Tag(0x28, 0x102), 15)
        .short(Tag(0x28, 0x103), 0)
        .sequence(Tag(0x5200, 0x9229), [shared])
        .sequence(Tag(0x5200, 0x9230), heights.iter().map(frame))
        .binary(Tag(0x7FE0, 0x10), pixels)
        .unwrap();
    let meta = Elements::default().text(Tag(0x2, 0x10), b"UI", EXPLICIT).bytes();
    let mut out = vec![0; 128];
    out.extend(b"DICM\x02\0\0\0UL\x04\0");
    out.extend((meta.len() as u32).to_le_bytes());
    out.extend(meta);
    out.extend(change(object).bytes());
    out
}

#[test]
fn frames_are_slices_in_the_order_of_their_places() {
    let scratch = Scratch::new();
    let path = scratch.file("mr.dcm", &enhanced(&[6.0, 0.0, 3.0], |e| e));
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
    seg::write_mask_like(&path, &out, &mask).unwrap();
    assert_eq!(read_labels(&out).unwrap(), mask);
    let object = file::open(&out).unwrap();
    let frames = object.get(Tag(0x5200, 0x9230)).unwrap().items().unwrap();
    let numbers: Vec<i32> = frames
        .iter()
        .map(|frame| {
            let derived = &frame.get(Tag(0x8, 0x9124)).unwrap().items().unwrap()[0];
            let image = &derived.get(Tag(0x8, 0x2112)).unwrap().items().unwrap()[0];
            image.get(Tag(0x8, 0x1160)).unwrap().to_int().unwrap()
        })
        .collect();
    assert_eq!(numbers, [2, 3, 1]);
}

#[test]
fn frames_without_a_place_are_refused() {
    let scratch = Scratch::new();
    let refused = |bytes: Vec<u8>| only(&scratch.file("mr.dcm", &bytes)).unwrap_err().to_string();
    let more = |e: Elements| e.text(Tag(0x28, 0x8), b"IS", "4");
    let error = refused(enhanced(&[0.0, 3.0, 6.0], more));
    assert!(error.contains("4 frames and says of 3"), "{error}");
    let none = |e: Elements| e.sequence(Tag(0x5200, 0x9230), []);
    let error = refused(enhanced(&[0.0, 3.0, 6.0], none));
    assert!(error.contains("says of 0"), "{error}");
    let error = refused(enhanced(&[0.0, 3.0, 3.0], |e| e));
    assert!(error.contains("frame 2 of mr.dcm") && error.contains("frame 3 of mr.dcm"), "{error}");
    assert!(error.contains("same place"), "{error}");
    let elsewhere = |e: Elements| e.sequence(Tag(0x5200, 0x9229), []);
    let error = refused(enhanced(&[0.0, 3.0, 6.0], elsewhere));
    assert!(error.contains("ImageOrientationPatient"), "{error}");
    let fewer = |e: Elements| e.binary(Tag(0x7FE0, 0x10), vec![0; 30]).unwrap();
    let error = refused(enhanced(&[0.0, 3.0, 6.0], fewer));
    assert!(error.contains("truncated"), "{error}");
    // Bits are a segmentation's alone.
    let bits = |e: Elements| e.short(Tag(0x28, 0x100), 1).short(Tag(0x28, 0x101), 1);
    let error = refused(enhanced(&[0.0, 3.0, 6.0], bits));
    assert!(error.contains("1 of 1 bits"), "{error}");
}
