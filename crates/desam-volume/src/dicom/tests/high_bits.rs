//! Bits beyond BitsStored (PS3.5, 8.1.1); where HighBit is the last of them, values are those of pydicom
//! 3.0.2 (`pixel_array`) on files of the same words.

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
    let big = Draft { syntax: encoding::EXPLICIT_VR_BIG_ENDIAN, ..slice };
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
fn another_high_bit_is_where_the_pixels_are() {
    // By hand: twelve bits at the top of the word.
    let words: Vec<u16> = vec![0x0010, 0x0650, 0xFFF0, 0x8000, 0x7FF0, 0];
    let slice = Draft { words, high_bit: 15, ..draft(0.0) };
    let (data, warnings) = read(slice.clone());
    assert_eq!(data, [1.0, 101.0, 4095.0, 2048.0, 2047.0, 0.0]);
    let says = "HighBit is 15 where BitsStored is 12: pixels are read from bits 4 to 15";
    assert!(warnings.len() == 1 && warnings[0].contains(says), "{warnings:?}");
    let (data, _) = read(Draft { signed: true, ..slice.clone() });
    assert_eq!(data, [1.0, 101.0, -1.0, -2048.0, 2047.0, 0.0]);
    // In the middle, with something above.
    let words = vec![0x4004, 0x0008, 0x3FFC, 0x2000, 0, 0];
    let (data, warnings) = read(Draft { words, high_bit: 13, ..slice.clone() });
    assert_eq!(data, [1.0, 2.0, 4095.0, 2048.0, 0.0, 0.0]);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    // Pixels that contradict it are refused, a bit that cannot be is not followed.
    let scratch = Scratch::new();
    let dir = folder(&scratch, &[Draft { words: vec![1; 6], ..slice.clone() }]);
    let error = only(&dir).unwrap_err().to_string();
    assert!(error.contains("correct HighBit, to 11"), "{error}");
    for high_bit in [0, 10, 16, 65_535] {
        let (data, warnings) = read(Draft { high_bit, ..draft(3.0) });
        assert_eq!((data[5], warnings.len()), (305.0, 1));
    }
    assert!(read(draft(3.0)).1.is_empty());
}
