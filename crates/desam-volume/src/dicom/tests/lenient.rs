//! Files that break the standard in ways that other programs read: the values are those of the
//! draft, which pydicom 3.0.2 reads from files of the same kinds.

use super::*;
use crate::volumes::{self, ReadOptions};

/// Offset of a draft's data set.
fn data_set(bytes: &[u8]) -> usize {
    144 + usize::from(bytes[140])
}

fn warnings(path: &Path) -> Vec<String> {
    volumes::load_volume(path, &ReadOptions::default()).unwrap().warnings
}

#[test]
fn the_length_of_the_first_group_does_not_matter() {
    let scratch = Scratch::new();
    let whole = draft(3.0).bytes();
    let length = whole[140];
    for stated in [0, 1, length - 8, length + 8, 255] {
        let mut bytes = whole.clone();
        bytes[140] = stated;
        let path = scratch.file("group.dcm", &bytes);
        assert_eq!(only(&path).unwrap().data(), [300.0, 301.0, 302.0, 303.0, 304.0, 305.0]);
        assert!(warnings(&path).is_empty());
    }
    // Without the element itself, and under each encoding.
    for syntax in SYNTAXES {
        let mut bytes = Draft { syntax, ..draft(3.0) }.bytes();
        bytes.drain(132..144);
        assert_eq!(only(&scratch.file("none.dcm", &bytes)).unwrap().data()[5], 305.0);
    }
}

#[test]
fn preamble_and_first_group_may_be_missing() {
    let scratch = Scratch::new();
    for syntax in SYNTAXES {
        let slice = Draft { syntax, ..draft(3.0) };
        let whole = slice.bytes();
        let bare = whole[data_set(&whole)..].to_vec();
        let preamble_alone = [&whole[..132], &bare].concat();
        for (name, bytes, warned) in [
            ("no-preamble.dcm", whole[132..].to_vec(), false),
            ("magic-first.dcm", whole[128..].to_vec(), false),
            ("bare.dcm", bare, true),
            ("no-meta.dcm", preamble_alone, true),
        ] {
            let path = scratch.file(name, &bytes);
            assert_eq!(only(&path).unwrap().data()[5], 305.0, "{name} {syntax}");
            let warnings = warnings(&path);
            assert_eq!(warnings.len(), usize::from(warned), "{name} {syntax}: {warnings:?}");
            assert!(warnings.iter().all(|w| w.contains(name) && w.contains("transfer syntax")));
            // Beside the next it would be one file of a series.
            std::fs::remove_file(path).unwrap();
        }
    }
    // In a folder no slice is passed over.
    let bare = |z| draft(z).data_set();
    let dir = folder(&scratch, &[draft(3.0)]);
    std::fs::write(dir.join("a"), bare(0.0)).unwrap();
    std::fs::write(dir.join("b"), bare(6.0)).unwrap();
    assert_eq!(only(&dir).unwrap().grid().dims, [3, 2, 3]);
    assert!(is_dicom_folder(&dir).unwrap());
    let warnings = warnings(&dir);
    assert!(warnings.len() == 1 && warnings[0].contains("and another file"), "{warnings:?}");
    // Compressed pixels show which syntax they are in.
    let packed = vec![images::JPEG_LS.to_vec()];
    let slice = Draft { syntax: uids::JPEGLS_LOSSLESS, packed, ..packed::wide(4, 6) };
    let volume = only(&scratch.file("jls.dcm", &slice.data_set())).unwrap();
    assert_eq!(volume.data()[3], 771.0);
}

#[test]
fn what_is_no_dicom_is_not_taken_for_it() {
    let noise: Vec<u8> =
        (0..4096_u32).map(|v| (v.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let words: Vec<u8> = (8..2056_u16).flat_map(u16::to_le_bytes).collect();
    let eights = [8, 0].repeat(2048);
    let shorts = [8, 0, 0x16, 0, 2, 0, 0, 0].repeat(512);
    for bytes in [b"".to_vec(), b"NRRD0004".to_vec(), vec![0; 4096], noise, words, eights, shorts] {
        assert!(!is_start(&bytes), "{:?}", &bytes[..bytes.len().min(16)]);
    }
}

#[test]
fn the_first_element_tells_what_the_transfer_syntax_gets_wrong() {
    let scratch = Scratch::new();
    let [implicit, explicit] =
        [uids::IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT].map(|syntax| Draft { syntax, ..draft(3.0) });
    for (header, content) in [(&implicit, &explicit), (&explicit, &implicit)] {
        let whole = header.bytes();
        let bytes = [&whole[..data_set(&whole)], &content.data_set()].concat();
        let path = scratch.file("mixed.dcm", &bytes);
        assert_eq!(only(&path).unwrap().data()[5], 305.0);
        assert!(warnings(&path)[0].contains("read as such"), "{:?}", warnings(&path));
    }
}

#[test]
fn bytes_behind_the_pixels_do_not_matter() {
    let scratch = Scratch::new();
    let tails: [&[u8]; 6] = [
        b"\n",
        b"\0",
        b"appended by export",
        b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        &[0; 512],
        b"\xFC\xFF\xFC\xFFOB\0\0",
    ];
    for tail in tails {
        let slices = [draft(0.0), Draft { trailing: tail.to_vec(), ..draft(3.0) }];
        assert_eq!(only(&folder(&scratch, &slices)).unwrap().data()[11], 305.0, "{tail:?}");
        let implicit = Draft {
            syntax: uids::IMPLICIT_VR_LITTLE_ENDIAN,
            trailing: tail.to_vec(),
            ..draft(3.0)
        };
        assert_eq!(only(&folder(&scratch, &[implicit])).unwrap().data()[5], 305.0, "{tail:?}");
    }
}

#[test]
fn lengths_that_do_not_fit_their_vr() {
    let scratch = Scratch::new();
    // AcquisitionTime as numbers of 32 bits in 14 bytes: the parser would lose its place.
    let extra = b"\x08\x00\x32\x00SL\x0E\x00115754.640000 ".to_vec();
    let path = folder(&scratch, &[Draft { extra, ..draft(3.0) }]);
    assert_eq!(only(&path).unwrap().data()[5], 305.0);
    assert!(warnings(&path)[0].contains("(0008,0032) AcquisitionTime"), "{:?}", warnings(&path));
    for (vr, width) in [("US", 2), ("SS", 2), ("UL", 4), ("SL", 4), ("FL", 4), ("AT", 4), ("FD", 8)]
    {
        for length in [1, width - 1, width + 1, 3 * width - 1] {
            let mut extra = b"\x18\x00\x14\x13".to_vec();
            extra.extend(vr.as_bytes());
            extra.extend((length as u16).to_le_bytes());
            extra.extend(vec![7; length]);
            let path = folder(&scratch, &[Draft { extra, ..draft(3.0) }]);
            assert_eq!(only(&path).unwrap().data()[5], 305.0, "{vr} {length}");
        }
    }
}

#[test]
fn deflated_data_sets() {
    let scratch = Scratch::new();
    let deflated = |content: &[u8]| {
        use std::io::Write as _;
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(content).unwrap();
        let slice = Draft { syntax: uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, ..draft(3.0) };
        let whole = slice.bytes();
        [&whole[..data_set(&whole)], &encoder.finish().unwrap()].concat()
    };
    let slice = draft(3.0);
    let path = scratch.file("deflated.dcm", &deflated(&slice.data_set()));
    assert_eq!(only(&path).unwrap().data(), [300.0, 301.0, 302.0, 303.0, 304.0, 305.0]);
    assert!(warnings(&path).is_empty());
    for cut in [20, 100] {
        let whole = deflated(&slice.data_set());
        let path = scratch.file("cut.dcm", &whole[..whole.len() - cut]);
        assert!(only(&path).is_err(), "{cut}");
    }
    // Bombs: behind the pixels nothing is inflated, and no header takes that much.
    let bomb = Draft { trailing: vec![0; 80 << 20], ..slice.clone() };
    let path = scratch.file("bomb.dcm", &deflated(&bomb.data_set()));
    assert_eq!(only(&path).unwrap().data()[5], 305.0);
    let mut extra = b"\x09\x00\x01\x00OB\0\0".to_vec();
    extra.extend((40_u32 << 20).to_le_bytes());
    extra.extend(vec![0; 40 << 20]);
    let path = scratch.file("bomb.dcm", &deflated(&Draft { extra, ..slice }.data_set()));
    let error = only(&path).unwrap_err().to_string();
    assert!(error.contains("truncated") || error.contains("header takes"), "{error}");
}

#[test]
fn a_series_beyond_the_limit_is_refused() {
    let scratch = Scratch::new();
    let dir = folder(&scratch, &[draft(0.0), draft(3.0)]);
    let options = ReadOptions::default().with_max_bytes(47);
    let error = volumes::load_volume(&dir, &options).unwrap_err().to_string();
    assert!(error.contains("48 bytes of memory, more than the 47"), "{error}");
    assert!(volumes::load_volume(&dir, &options.with_max_bytes(48)).is_ok());
}
