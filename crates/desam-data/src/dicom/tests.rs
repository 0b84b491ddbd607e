mod drafts;
mod frames;
mod layouts;

use super::*;
use crate::voxels::testing::Scratch;
use desam_core::Grid;
pub(super) use drafts::{Draft, EXPLICIT, draft, folder};

fn only(path: &Path) -> Result<Volume> {
    read_volume(path, &SeriesChoice::Only)
}

#[test]
fn slices_are_sorted_by_position() {
    let scratch = Scratch::new();
    let dir = folder(&scratch, &[draft(6.0), draft(0.0), draft(9.0), draft(3.0)]);
    std::fs::write(dir.join("notes.txt"), "not DICOM").unwrap();
    // A report: DICOM, and no image.
    let mut report = draft(0.0).bytes();
    let image = report.windows(4).position(|w| w == [0x28, 0, 2, 0]).unwrap();
    report.truncate(image);
    std::fs::write(dir.join("report.dcm"), report).unwrap();
    let volume = only(&dir).unwrap();
    // By hand: columns along L at 0.5 mm, rows along P at 0.75 mm, LPS to RAS.
    let affine =
        desam_core::Affine([[-0.5, 0.0, 0.0, 10.0], [0.0, -0.75, 0.0, 20.0], [0.0, 0.0, 3.0, 0.0]]);
    assert_eq!(volume.grid(), &Grid { dims: [3, 2, 4], affine });
    let expected: Vec<f32> =
        [0, 300, 600, 900].iter().flat_map(|z| (0..6).map(move |v| (z + v) as f32)).collect();
    assert_eq!(volume.data(), expected);
    assert_eq!(files(&dir).unwrap().len(), 4);
    assert!(is_dicom_folder(&dir).unwrap() && !is_dicom_folder(&scratch.path("")).unwrap());
    // One file is one slice, as thick as it says.
    let one = only(&files(&dir).unwrap()[1]).unwrap();
    assert_eq!((one.grid().dims, one.grid().spacing()), ([3, 2, 1], [0.5, 0.75, 3.0]));
    // A hundred times the height: no labels, and where that is.
    let error = read_labels(&dir).unwrap_err();
    assert!(matches!(error, Error::NotALabel { voxel: [0, 0, 1], .. }), "{error}");
}

#[test]
fn transfer_syntaxes_and_rescale() {
    let scratch = Scratch::new();
    let signed = Draft {
        signed: true,
        pixels: vec![-2048, -1, 0, 1, 2, 2047],
        rescale: Some((0.5, -3.0)),
        ..draft(0.0)
    };
    let expected: Vec<f32> = signed.pixels.iter().map(|&v| f32::from(v) * 0.5 - 3.0).collect();
    for syntax in ["1.2.840.10008.1.2", EXPLICIT, "1.2.840.10008.1.2.2"] {
        let dir = folder(&scratch, &[Draft { syntax, ..signed.clone() }]);
        assert_eq!(only(&dir).unwrap().data(), expected, "{syntax}");
    }
    // RLE: a header of 16 numbers, then a segment of high bytes and one of low bytes, each a run of
    // six literal bytes (PS3.5, annex G).
    let mut rle = vec![0; 64];
    [2_u32, 64, 72].iter().enumerate().for_each(|(i, v)| {
        rle[4 * i..4 * i + 4].copy_from_slice(&v.to_le_bytes());
    });
    let bytes = draft(3.0).pixels.into_iter().map(|v| v.to_be_bytes());
    for half in 0..2 {
        rle.push(5);
        rle.extend(bytes.clone().map(|b| b[half]));
        rle.push(0x80);
    }
    let packed = Some(rle);
    let dir = folder(&scratch, &[Draft { syntax: "1.2.840.10008.1.2.5", packed, ..draft(3.0) }]);
    assert_eq!(only(&dir).unwrap().data(), [300.0, 301.0, 302.0, 303.0, 304.0, 305.0]);
    for (syntax, name) in
        [("1.2.840.10008.1.2.4.90", "JPEG 2000"), ("1.2.840.10008.1.2.4.80", "JPEG-LS")]
    {
        let packed = Some(vec![0xFF, 0x4F, 0, 0]);
        let error = only(&folder(&scratch, &[Draft { syntax, packed, ..draft(0.0) }])).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    let deflated = Draft { syntax: "1.2.840.10008.1.2.1.99", ..draft(0.0) };
    let error = only(&folder(&scratch, &[deflated])).unwrap_err().to_string();
    assert!(error.contains("deflated"), "{error}");
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
    let packed = Some([&LOSSLESS[..], &[0]].concat());
    let syntax = "1.2.840.10008.1.2.4.70";
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
    let syntax = "1.2.840.10008.1.2.4.57";
    let other = Draft { syntax, packed: Some([&other[..], &[0]].concat()), ..slice };
    let error = only(&folder(&scratch, &[other])).unwrap_err().to_string();
    assert!(error.contains("lossless in a way"), "{error}");
}

#[test]
fn what_is_no_stack_is_refused() {
    let scratch = Scratch::new();
    let refused = |drafts: &[Draft]| only(&folder(&scratch, drafts)).unwrap_err().to_string();
    let stack = || vec![draft(0.0), draft(3.0), draft(6.0), draft(9.0)];
    let with = |change: &dyn Fn(&mut Draft)| {
        let mut drafts = stack();
        change(&mut drafts[2]);
        refused(&drafts)
    };
    let mut gap = stack();
    gap.remove(2);
    gap.push(draft(12.0));
    assert!(refused(&gap).contains("6.00 mm apart where others are 3.00"), "{}", refused(&gap));
    let mixed = with(&|d| d.orientation = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]);
    assert!(mixed.contains("different directions"), "{mixed}");
    let twice = with(&|d| d.position[2] = 3.0);
    assert!(twice.contains("same place"), "{twice}");
    let aside = with(&|d| d.position[0] = 5.0);
    assert!(aside.contains("beside"), "{aside}");
    let large = with(&|d| (d.rows, d.columns) = (3, 2));
    assert!(large.contains("one size"), "{large}");
    let skew = with(&|d| d.orientation[1] = 0.5);
    assert!(skew.contains("right angles"), "{skew}");
    let few = with(&|d| d.pixels.truncate(3));
    assert!(few.contains("truncated"), "{few}");
    let error = only(&scratch.path("")).unwrap_err().to_string();
    assert!(error.contains("no DICOM image"), "{error}");
    let text = scratch.file("text.dcm", b"no");
    assert!(only(&text).unwrap_err().to_string().contains("DICM"));
}

#[test]
fn one_series_of_several_is_chosen() {
    let scratch = Scratch::new();
    let other = |z| Draft {
        series: "1.2.4".into(),
        description: "T2 Sag".into(),
        orientation: [0.0, 1.0, 0.0, 0.0, 0.0, -1.0],
        position: [z, 0.0, 0.0],
        ..draft(0.0)
    };
    let dir = folder(&scratch, &[draft(0.0), draft(3.0), other(0.0), other(4.0), other(8.0)]);
    let listed = list_series(&dir).unwrap();
    let facts: Vec<_> = listed.iter().map(|s| (s.uid.as_str(), s.len(), s.plane)).collect();
    assert_eq!(facts, [("1.2.3", 2, Some(Plane::Axial)), ("1.2.4", 3, Some(Plane::Sagittal))]);
    let error = only(&dir).unwrap_err().to_string();
    assert!(error.contains("1.2.3 (\"t2 tra\", 2 slices, axial)"), "{error}");
    let depth = |text: &str| {
        let choice = text.parse().unwrap_or_default();
        read_volume(&dir, &choice).map(|v| v.grid().dims[2])
    };
    for (text, slices) in [("1.2.4", 3), ("axial", 2), ("sagittal", 3), ("SAG", 3), ("tra", 2)] {
        assert_eq!(depth(text).unwrap(), slices, "{text}");
    }
    for text in ["coronal", "t2", "1.2.5"] {
        assert!(matches!(depth(text), Err(Error::Dicom { .. })), "{text}");
    }
}

#[test]
fn elements_that_leave_the_file_are_refused_before_they_are_read() {
    let scratch = Scratch::new();
    let read = |extra: Vec<u8>| only(&folder(&scratch, &[Draft { extra, ..draft(0.0) }]));
    // A private element of 4 GB, of 60 kB, and sequences in sequences in …
    let large = b"\x09\x00\x01\x00OB\0\0\xF0\xFF\xFF\xFF".to_vec();
    let medium = b"\x09\x00\x01\x00LO\x60\xEA".to_vec();
    let nested =
        b"\x09\x00\x01\x00SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF".repeat(5000);
    for (extra, says) in [(large, "promises 4294967280"), (medium, "promises"), (nested, "deep")] {
        let error = read(extra).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let whole = draft(0.0).bytes();
    for cut in (0..whole.len()).step_by(3) {
        let path = scratch.file("cut.dcm", &whole[..cut]);
        assert!(only(&path).is_err(), "{cut}");
    }
}
