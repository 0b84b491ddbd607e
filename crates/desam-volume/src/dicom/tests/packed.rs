//! Packed pixels.

use super::*;

/// Six pixels of 16 bits, `100, 101, 256, 256, 256, 257`, by hand: a header of 16 numbers, then a
/// segment of high bytes, two zeros and four ones as runs with a byte between them that says nothing,
/// and one of low bytes, as they are (PS3.5, annex G).
fn run_lengths() -> Vec<u8> {
    let mut packed = vec![0; 64];
    [2_u32, 64, 69].iter().enumerate().for_each(|(i, v)| {
        packed[4 * i..4 * i + 4].copy_from_slice(&v.to_le_bytes());
    });
    packed.extend([0xFF, 0, 0x80, 0xFD, 1, 5, 100, 101, 0, 0, 0, 1]);
    packed
}

#[test]
fn run_lengths_are_unpacked() {
    let scratch = Scratch::new();
    let read = |fragments: Vec<Vec<u8>>| {
        let syntax = uids::RLE_LOSSLESS;
        only(&folder(&scratch, &[Draft { syntax, packed: fragments, ..draft(0.0) }]))
    };
    let expected = [100.0, 101.0, 256.0, 256.0, 256.0, 257.0];
    assert_eq!(read(vec![run_lengths()]).unwrap().data(), expected);
    for length in [0, 2, 62, 64, 66, 68, 70, 74] {
        let cut = run_lengths()[..length].to_vec();
        assert!(read(vec![cut]).is_err(), "{length}");
    }
    let error = read(vec![run_lengths(); 3]).unwrap_err().to_string();
    assert!(error.contains("encapsulation of its frames"), "{error}");
}

/// A slice of this many rows and columns.
pub(super) fn wide(rows: u16, columns: u16) -> Draft {
    Draft { rows, columns, ..draft(0.0) }
}

#[test]
fn the_delimiter_behind_the_fragments_may_be_missing() {
    let scratch = Scratch::new();
    let syntax = uids::RLE_LOSSLESS;
    for trailing in [&b""[..], b"\0", b"\n", b"some more text", &[0xFE, 0xFF, 0xDD, 0xE0]] {
        let slice = Draft {
            syntax,
            packed: vec![run_lengths()],
            unclosed: true,
            trailing: trailing.to_vec(),
            ..draft(0.0)
        };
        let volume = only(&folder(&scratch, &[slice])).unwrap();
        assert_eq!(volume.data(), [100.0, 101.0, 256.0, 256.0, 256.0, 257.0]);
    }
    let mut slice = Draft { syntax, packed: vec![run_lengths()], unclosed: true, ..draft(0.0) };
    let mut bytes = slice.bytes();
    bytes.truncate(bytes.len() - 4);
    let error = only(&scratch.file("cut.dcm", &bytes)).unwrap_err().to_string();
    assert!(error.contains("truncated"), "{error}");
    // A header that promises a frame of gigabytes.
    (slice.rows, slice.columns) = (65_535, 65_535);
    let error = only(&folder(&scratch, &[slice])).unwrap_err().to_string();
    assert!(error.contains("truncated"), "{error}");
}

#[test]
fn jpeg_2000() {
    let scratch = Scratch::new();
    let expected: Vec<f32> =
        (0..1024).map(|i| (100 * (i / 32 / 8) + 7 * (i % 32 / 8)) as f32).collect();
    let slice = |image: &[u8]| {
        let mut image = image.to_vec();
        image.resize(image.len().next_multiple_of(2), 0);
        Draft { syntax: uids::JPEG2000_LOSSLESS, packed: vec![image], ..wide(32, 32) }
    };
    let plain = slice(&images::JPEG_2000);
    assert_eq!(only(&folder(&scratch, std::slice::from_ref(&plain))).unwrap().data(), expected);
    let lossy = Draft { syntax: uids::JPEG2000, ..plain.clone() };
    assert_eq!(only(&folder(&scratch, &[lossy])).unwrap().data(), expected);
    let signed = Draft { signed: true, ..slice(&images::JPEG_2000_SIGNED) };
    let less: Vec<f32> = expected.iter().map(|v| v - 200.0).collect();
    assert_eq!(only(&folder(&scratch, &[signed])).unwrap().data(), less);
    let other = Draft { rows: 31, ..plain };
    let error = only(&folder(&scratch, &[other])).unwrap_err().to_string();
    assert!(error.contains("32 rows"), "{error}");
}

#[test]
fn jpeg_ls() {
    let scratch = Scratch::new();
    let expected: Vec<f32> = (0..24).map(|i| (257 * i % 4001) as f32).collect();
    let read = |syntax, image: &[u8]| {
        let slice = Draft { syntax, packed: vec![image.to_vec()], ..wide(4, 6) };
        only(&folder(&scratch, &[slice])).map(|volume| volume.data().to_vec())
    };
    assert_eq!(read(uids::JPEGLS_LOSSLESS, &images::JPEG_LS).unwrap(), expected);
    let near = read(uids::JPEGLS_NEAR_LOSSLESS, &images::JPEG_LS_NEAR).unwrap();
    // As CharLS reads it.
    assert_eq!(near[..8], [0.0, 259.0, 511.0, 770.0, 1030.0, 1284.0, 1540.0, 1799.0]);
    assert!(near.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 3.0));
    let packed = vec![images::JPEG_LS.to_vec()];
    let other = Draft { syntax: uids::JPEGLS_LOSSLESS, packed, ..wide(6, 4) };
    let error = only(&folder(&scratch, &[other])).unwrap_err().to_string();
    assert!(error.contains("4 rows and 6 columns"), "{error}");
}

#[test]
fn packed_images_may_be_broken_anywhere() {
    let scratch = Scratch::new();
    let padded = [&LOSSLESS[..], &[0]].concat();
    let jpeg = uids::JPEG_LOSSLESS_SV1;
    let whole = [
        Draft { syntax: jpeg, rows: 4, columns: 4, packed: vec![padded], ..draft(0.0) },
        Draft { syntax: uids::RLE_LOSSLESS, packed: vec![run_lengths()], ..draft(0.0) },
        Draft {
            syntax: uids::JPEG2000_LOSSLESS,
            packed: vec![images::JPEG_2000.to_vec()],
            ..wide(32, 32)
        },
        Draft {
            syntax: uids::JPEGLS_LOSSLESS,
            packed: vec![images::JPEG_LS.to_vec()],
            ..wide(4, 6)
        },
    ];
    for draft in whole {
        let mut refused = 0;
        for bit in 0..8 * draft.packed[0].len() {
            let mut other = draft.clone();
            other.packed[0][bit / 8] ^= 1 << (bit % 8);
            // An error or a whole volume.
            match only(&folder(&scratch, &[other])) {
                Ok(volume) => assert_eq!(volume.data().len(), volume.grid().len()),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 50, "{refused} refused");
    }
}

#[test]
fn compressed_images_may_be_broken_in_many_places() {
    use rand::{Rng as _, SeedableRng as _};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(15);
    let scratch = Scratch::new();
    let whole = [
        (uids::JPEG2000_LOSSLESS, wide(32, 32), images::JPEG_2000.to_vec()),
        (uids::JPEG2000_LOSSLESS, wide(32, 32), images::JPEG_2000_SIGNED.to_vec()),
        (uids::JPEGLS_LOSSLESS, wide(4, 6), images::JPEG_LS.to_vec()),
        (uids::JPEGLS_NEAR_LOSSLESS, wide(4, 6), images::JPEG_LS_NEAR.to_vec()),
    ];
    for (syntax, slice, image) in whole {
        let mut refused = 0;
        for _ in 0..1500 {
            let mut image = image.clone();
            for _ in 0..rng.random_range(1..5) {
                let at = rng.random_range(0..image.len());
                match rng.random_range(0..4) {
                    0 => image[at] = rng.random(),
                    1 => image[at] = [0, 0xFF][rng.random_range(0..2)],
                    2 => image.truncate(at.max(4)),
                    _ => image.insert(at, rng.random()),
                }
            }
            let path = folder(&scratch, &[Draft { syntax, packed: vec![image], ..slice.clone() }]);
            match only(&path) {
                Ok(volume) => assert_eq!(volume.data().len(), volume.grid().len()),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 300, "{refused} refused");
    }
}

/// Decoders fill in what is missing: another picture, where OpenJPEG refuses the file.
#[test]
fn a_jpeg_2000_image_that_is_cut_short_is_refused() {
    let scratch = Scratch::new();
    let read = |image: &[u8]| {
        let packed = vec![image.to_vec()];
        let syntax = uids::JPEG2000_LOSSLESS;
        only(&folder(&scratch, &[Draft { syntax, packed, ..wide(32, 32) }]))
    };
    let whole = &images::JPEG_2000[..];
    let values = read(whole).unwrap();
    // The marker at its end (EOC) is no part of the picture.
    assert_eq!(read(&whole[..whole.len() - 2]).unwrap().data(), values.data());
    for less in [3, 20, 100] {
        let error = read(&whole[..whole.len() - less]).unwrap_err().to_string();
        assert!(error.contains("cut short"), "{less}: {error}");
    }
    assert!(read(&whole[..whole.len() - 130]).is_err());
    // Of an unknown length (Psot 0, A.4.2) the tile ends with the image.
    let mut open = whole.to_vec();
    open[125..129].fill(0);
    assert_eq!(read(&open).unwrap().data(), values.data());
    let error = read(&open[..open.len() - 20]).unwrap_err().to_string();
    assert!(error.contains("cut short"), "{error}");
}

/// JPEG lossless, first predictor, of `257 * i mod 4001` for 16 pixels of 12 bits; coded by hand after
/// ITU T.81, annex H, and read back the same by imagecodecs 2026.3.6 (`jpegsof3_decode`).
const LOSSLESS: [u8; 97] = [
    0xFF, 0xD8, 0xFF, 0xC4, 0x00, 0x24, 0x00, 0x00, 0x00, 0x00, 0x00, 0x11, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
    0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0xFF, 0xC3, 0x00, 0x0B, 0x0C, 0x00, 0x04, 0x00,
    0x04, 0x01, 0x01, 0x11, 0x00, 0xFF, 0xDA, 0x00, 0x08, 0x01, 0x01, 0x00, 0x01, 0x00, 0x00, 0x63,
    0xFF, 0x00, 0xA6, 0x02, 0x98, 0x0A, 0x60, 0x2B, 0x80, 0x89, 0x80, 0xA6, 0x02, 0x98, 0x0A, 0xE0,
    0x22, 0x60, 0x29, 0x80, 0xA6, 0x02, 0xB8, 0x08, 0x98, 0x0A, 0x60, 0x29, 0x80, 0xFF, 0x00, 0xFF,
    0xD9,
];

#[test]
fn lossless_jpeg() {
    let scratch = Scratch::new();
    let packed = vec![[&LOSSLESS[..], &[0]].concat()];
    let syntax = uids::JPEG_LOSSLESS_SV1;
    let slice = Draft { syntax, rows: 4, columns: 4, packed, ..draft(0.0) };
    let volume = only(&folder(&scratch, std::slice::from_ref(&slice))).unwrap();
    let expected: Vec<f32> = (0..16).map(|i| (257 * i % 4001) as f32).collect();
    assert_eq!(volume.data(), expected);
    // An image that says it is larger than its slice would take memory for that.
    let other = Draft { rows: 3, ..slice.clone() };
    let error = only(&folder(&scratch, &[other])).unwrap_err().to_string();
    assert!(error.contains("4 rows"), "{error}");
    // Another predictor, after the start of the scan and its one component.
    let mut other = LOSSLESS.to_vec();
    let scan = other.windows(2).position(|w| w == [0xFF, 0xDA]).unwrap();
    other[scan + 7] = 6;
    let syntax = uids::JPEG_LOSSLESS;
    let other = Draft { syntax, packed: vec![[&other[..], &[0]].concat()], ..slice };
    let error = only(&folder(&scratch, &[other])).unwrap_err().to_string();
    assert!(error.contains("lossless in a way"), "{error}");
}

#[test]
fn a_packed_image_is_its_slices() {
    let scratch = Scratch::new();
    let read = |fragments: Vec<Vec<u8>>| {
        let syntax = uids::JPEG_LOSSLESS_SV1;
        let slice = Draft { syntax, rows: 4, columns: 4, packed: fragments, ..draft(0.0) };
        only(&folder(&scratch, &[slice]))
    };
    let even = |bytes: &[u8]| [bytes, &[0][..bytes.len() % 2]].concat();
    let whole = read(vec![even(&LOSSLESS)]).unwrap();
    // Cut into fragments it is the same image.
    for cut in [2, 40, 96] {
        let parts = vec![LOSSLESS[..cut].to_vec(), even(&LOSSLESS[cut..])];
        assert_eq!(read(parts).unwrap().data(), whole.data(), "{cut}");
    }
    let frame = LOSSLESS.windows(2).position(|w| w == [0xFF, 0xC3]).unwrap();
    let with = |at: usize, value: u8| {
        let mut bytes = LOSSLESS.to_vec();
        bytes[at] = value;
        even(&bytes)
    };
    // Numbers of 8 bits in words of 16, and three numbers a pixel, which are more than there is room
    // for.
    for (at, value, says) in [(4, 8, "1 numbers of 8 bits"), (9, 3, "3 numbers of 12 bits")] {
        let error = read(vec![with(frame + at, value)]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // Pixels that are packed by no syntax, and such as should be and are not.
    let plain = Draft { syntax: EXPLICIT, packed: vec![even(&LOSSLESS)], ..draft(0.0) };
    let bare = Draft { syntax: uids::JPEG_LOSSLESS_SV1, ..draft(0.0) };
    for (other, says) in [(plain, "are packed and"), (bare, "are plain and")] {
        let error = only(&folder(&scratch, &[other])).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // Whatever hides the size from who goes by lengths: a size behind the cut between fragments, bytes
    // that fill up before it.
    let large = with(frame + 5, 0xFF);
    let error = read(vec![large[..1].to_vec(), large[1..].to_vec()]).unwrap_err().to_string();
    assert!(error.contains("65284 rows"), "{error}");
    let filled = [&large[..frame], &[0xFF], &large[frame..]].concat();
    let error = read(vec![even(&filled)]).unwrap_err().to_string();
    assert!(error.contains("marker FF"), "{error}");
}
