//! Bits beyond BitsStored: PS3.5, 8.1.1, and pydicom 3.0.2 (`pixel_array`) on files of the same words.

use super::*;
use crate::volumes::{self, ReadOptions};

fn read(slice: Draft) -> (Vec<f32>, Vec<String>) {
    let scratch = Scratch::new();
    let dir = folder(&scratch, &[slice]);
    let loaded = volumes::load_volume(&dir, &ReadOptions::default()).unwrap();
    (loaded.value.data().to_vec(), loaded.warnings)
}

#[test]
fn they_are_masked_with_a_warning() {
    // An overlay in the highest bit, as old scanners left it.
    let words = vec![0x8001, 0x0002, 0x0FFF, 0xF800, 0x0800, 0x07FF];
    let slice = Draft { words: words.clone(), ..draft(0.0) };
    let (data, warnings) = read(slice.clone());
    assert_eq!(data, [1.0, 2.0, 4095.0, 2048.0, 2048.0, 2047.0]);
    assert!(warnings.len() == 1 && warnings[0].contains("beyond the 12 of BitsStored"));
    // The sign is the highest stored bit.
    let (data, warnings) = read(Draft { signed: true, ..slice.clone() });
    assert_eq!(data, [1.0, 2.0, -1.0, -2048.0, -2048.0, 2047.0]);
    assert_eq!(warnings.len(), 1);
    let big = Draft { syntax: "1.2.840.10008.1.2.2", ..slice };
    assert_eq!(read(big).0, [1.0, 2.0, 4095.0, 2048.0, 2048.0, 2047.0]);
}

#[test]
fn an_extended_sign_is_no_reason_to_warn() {
    let words = vec![0xFFFF, 0x0FFF, 0xF800, 0x0800, 0x07FF, 0];
    let (data, warnings) = read(Draft { words, signed: true, ..draft(0.0) });
    assert_eq!(data, [-1.0, -1.0, -2048.0, -2048.0, 2047.0, 0.0]);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn another_high_bit_is_warned_of() {
    let (data, warnings) = read(Draft { high_bit: 15, ..draft(3.0) });
    assert_eq!(data, [300.0, 301.0, 302.0, 303.0, 304.0, 305.0]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("HighBit is 15 where BitsStored is 12"), "{warnings:?}");
    assert!(read(draft(3.0)).1.is_empty());
}
