mod drafts;
mod foreign;
mod frames;
mod high_bits;
mod images;
mod lenient;
mod mixed;
mod packed;
mod unknown;

use super::*;
use crate::voxels::testing::Scratch;
use desam_core::Grid;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
pub(super) use drafts::{Draft, EXPLICIT, draft, folder};

/// Transfer syntaxes of native pixels: implicit and explicit VR little endian, explicit big endian.
pub(super) const SYNTAXES: [&str; 3] =
    [uids::IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT, encoding::EXPLICIT_VR_BIG_ENDIAN];

/// A data set in explicit VR little endian.
pub(super) fn data_set_bytes(elements: attributes::Item) -> Vec<u8> {
    let object = InMemDicomObject::from_element_iter(elements);
    let mut bytes = Vec::new();
    object.write_dataset_with_ts(&mut bytes, &EXPLICIT_VR_LITTLE_ENDIAN.erased()).unwrap();
    bytes
}

/// A file in explicit VR little endian.
pub(super) fn file_bytes(elements: attributes::Item) -> Vec<u8> {
    let object = InMemDicomObject::from_element_iter(elements);
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(uids::SEGMENTATION_STORAGE)
        .media_storage_sop_instance_uid("1.2.3.5")
        .transfer_syntax(EXPLICIT);
    let mut bytes = Vec::new();
    object.with_exact_meta(meta.build().unwrap()).write_all(&mut bytes).unwrap();
    bytes
}

fn only(path: &Path) -> Result<Volume> {
    read_volume(path, &SeriesChoice::Only)
}

#[test]
fn slices_are_sorted_by_position() {
    let scratch = Scratch::new();
    let dir = folder(&scratch, &[draft(6.0), draft(0.0), draft(9.0), draft(3.0)]);
    std::fs::write(dir.join("notes.txt"), "not DICOM").unwrap();
    // A report: DICOM, and no image.
    let mut report = Draft { class: uids::BASIC_TEXT_SR_STORAGE, ..draft(0.0) }.bytes();
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
    for syntax in SYNTAXES {
        let dir = folder(&scratch, &[Draft { syntax, ..signed.clone() }]);
        assert_eq!(only(&dir).unwrap().data(), expected, "{syntax}");
    }
    let packed = vec![vec![0xFF, 0x4F, 0, 0]];
    let slice = Draft { syntax: uids::HTJ2K_LOSSLESS, packed, ..draft(0.0) };
    let error = only(&folder(&scratch, &[slice])).unwrap_err();
    assert!(error.to_string().contains("HTJ2K"), "{error}");
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
    assert!(mixed.contains("different orientations"), "{mixed}");
    let twice = with(&|d| d.position[2] = 3.0);
    assert!(twice.contains("same place"), "{twice}");
    let aside = with(&|d| d.position[0] = 5.0);
    assert!(aside.contains("off the line"), "{aside}");
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
fn elements_that_leave_the_file_are_refused() {
    let scratch = Scratch::new();
    let read = |extra: Vec<u8>| only(&folder(&scratch, &[Draft { extra, ..draft(0.0) }]));
    // Private elements of 4 GB and of 60 kB, and sequences in sequences in …
    let large = b"\x09\x00\x01\x00OB\0\0\xF0\xFF\xFF\xFF".to_vec();
    let medium = b"\x09\x00\x01\x00LO\x60\xEA".to_vec();
    let nested =
        b"\x09\x00\x01\x00SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF".repeat(5000);
    // Letters that are no VR: to some programs four bytes of length, to others two.
    let unknown = b"\x09\x00\x01\x00XX\0\0\xF0\xFF\xFF\xFF".to_vec();
    // What ends before its length says so, with an element of 4 GB behind its end.
    let item_end = b"\xFE\xFF\x0D\xE0\0\0\0\0";
    let sequence_end = b"\xFE\xFF\xDD\xE0\0\0\0\0";
    // ReferencedImageSequence.
    let early_item =
        [&b"\x08\x00\x40\x11SQ\0\0\x1C\0\0\0\xFE\xFF\x00\xE0\x14\0\0\0"[..], item_end, &large]
            .concat();
    let early_sequence = [&b"\x08\x00\x40\x11SQ\0\0\x14\0\0\0"[..], sequence_end, &large].concat();
    let early_end = [&item_end[..], &large].concat();
    for (extra, says) in [
        (large.clone(), "promises 4294967280"),
        (medium, "promises"),
        (nested, "deep"),
        (unknown, "unknown VR"),
        (early_item, "ends at byte"),
        (early_sequence, "ends at byte"),
        (early_end, "outside of a sequence"),
    ] {
        let error = read(extra).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // Behind the pixels nothing is looked at.
    let slice = Draft { trailing: large, ..draft(0.0) };
    assert_eq!(only(&folder(&scratch, &[slice])).unwrap().data().len(), 6);
    let whole = draft(0.0).bytes();
    for cut in (0..whole.len()).step_by(3) {
        let path = scratch.file("cut.dcm", &whole[..cut]);
        assert!(only(&path).is_err(), "{cut}");
    }
}
