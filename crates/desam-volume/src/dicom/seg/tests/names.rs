//! Texts of the patient and the study, in every character set.

use super::super::super::attributes;
use super::super::super::file::DicomFile;
use super::super::super::tests::{Draft, SYNTAXES, data_set_bytes, draft};
use super::*;
use dicom_core::VR;

/// Bytes of an element of text, explicit, little endian.
fn element(tag: Tag, vr: VR, value: &[u8]) -> Vec<u8> {
    data_set_bytes(vec![attributes::text(tag, vr, value)])
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|found| found == wanted)
}

/// Two slices whose files have a character set and texts.
fn series(scratch: &Scratch, set: Option<&[u8]>, texts: &[(Tag, VR, &[u8])]) -> PathBuf {
    let dir = scratch.path("named");
    std::fs::remove_dir_all(&dir).ok();
    std::fs::create_dir(&dir).unwrap();
    for z in [0.0, 3.0] {
        let mut bytes = draft(z).bytes();
        let mut insert = |before: [u8; 4], element: Vec<u8>| {
            let at = position(&bytes, &before).unwrap();
            bytes.splice(at..at, element);
        };
        if let Some(set) = set {
            insert([8, 0, 0x16, 0], element(tags::SPECIFIC_CHARACTER_SET, VR::CS, set));
        }
        for (tag, vr, value) in texts {
            // Before SliceThickness, or before StudyInstanceUID where it belongs behind that.
            let before = if tag.group() < 0x18 { [0x18, 0, 0x50, 0] } else { [0x20, 0, 0xD, 0] };
            insert(before, element(*tag, *vr, value));
        }
        std::fs::write(dir.join(format!("{z}.dcm")), bytes).unwrap();
    }
    dir
}

fn empty_mask(dir: &Path) -> LabelVolume {
    let grid = *read_volume(dir, &Default::default()).unwrap().grid();
    LabelVolume::new(grid, vec![0; grid.len()]).unwrap()
}

#[test]
fn names_keep_their_bytes_and_their_character_set() {
    // The first five are the examples of PS3.5, annexes H to K; the sixth has a second byte that
    // is a backslash (0x815C of GBK).
    let names: [(&[u8], &[u8]); 9] = [
        (
            b"\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B=\
              \x1B$B$d$^$@\x1B(B^\x1B$B$?$m$&\x1B(B",
        ),
        (
            b"ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\x1B$B;3ED\x1B(J^\x1B$BB@O:\x1B(J=\
              \x1B$B$d$^$@\x1B(J^\x1B$B$?$m$&\x1B(J",
        ),
        (
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1B$)C\xFB\xF3^\x1B$)C\xD1\xCE\xD4\xD7=\
              \x1B$)C\xC8\xAB^\x1B$)C\xB1\xE6\xB5\xBF",
        ),
        (b"GB18030", b"Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB="),
        (b"\\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1B$)A\xD5\xC5^\x1B$)A\xD0\xA1\xB6\xAB="),
        (b"GBK", b"Wang^\x81\x5C"),
        (b"\\ISO 2022 IR 87\\ISO 2022 IR 159", b"A=\x1B$(D\x22\x2F\x1B(B"),
        // Turkish, as ISO 8859-9 has it: "Çavuşoğlu^Çağ".
        (b"ISO_IR 148", b"\xC7avu\xFEo\xF0lu^\xC7a\xF0"),
        (b"ISO_IR 192", "Çavuşoğlu^Çağ".as_bytes()),
    ];
    let scratch = Scratch::new();
    let out = scratch.path("mask.dcm");
    let check = |set: Option<&[u8]>, name: &[u8]| {
        let texts: [(Tag, VR, &[u8]); 6] = [
            (tags::ACCESSION_NUMBER, VR::SH, name),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN, name),
            (tags::STUDY_DESCRIPTION, VR::LO, name),
            (tags::PATIENT_NAME, VR::PN, name),
            (tags::PATIENT_ID, VR::LO, name),
            (tags::DEIDENTIFICATION_METHOD, VR::LO, name),
        ];
        let dir = series(&scratch, set, &texts);
        let mask = empty_mask(&dir);
        write_mask_like(&dir, &out, &mask).unwrap();
        let bytes = std::fs::read(&out).unwrap();
        for (tag, vr, value) in texts {
            assert!(position(&bytes, &element(tag, vr, value)).is_some(), "{tag} {set:?}");
        }
        let written = position(&bytes, &[8, 0, 5, 0, b'C', b'S']);
        match set {
            Some(set) => {
                let expected = element(tags::SPECIFIC_CHARACTER_SET, VR::CS, set);
                assert_eq!(written, position(&bytes, &expected), "{set:?}");
                assert!(written.is_some());
            }
            None => assert_eq!(written, None),
        }
        assert_eq!(read_labels(&out).unwrap().data(), mask.data());
    };
    for (set, name) in names {
        check(Some(set), name);
    }
    // All sets of one byte (PS3.3, table C.12-2), by a byte that each of them has.
    for number in [6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203] {
        check(Some(format!("ISO_IR {number}").as_bytes()), b"Name^\xC1");
        check(Some(format!("ISO 2022 IR {number}\\ISO 2022 IR 87").as_bytes()), b"Name^\xC1");
    }
    // Files that say nothing of their character set, and hold more than ASCII all the same.
    check(None, b"\xC7avu\xFEo\xF0lu");
    // A set that no standard knows.
    check(Some(b"ISO_IR 999"), b"\xFF\xFE^\x80");
}

#[test]
fn a_name_is_longer_than_its_bytes_in_one_group() {
    // Three groups of 64 characters: more than the 64 bytes that one field has.
    let name = [vec![b'a'; 64], vec![b'b'; 64], vec![b'c'; 64]].join(&b'=');
    let scratch = Scratch::new();
    let dir = series(&scratch, None, &[(tags::PATIENT_NAME, VR::PN, &name)]);
    let out = scratch.path("mask.dcm");
    write_mask_like(&dir, &out, &empty_mask(&dir)).unwrap();
    let bytes = std::fs::read(&out).unwrap();
    assert!(position(&bytes, &element(tags::PATIENT_NAME, VR::PN, &name)).is_some());
}

#[test]
fn a_label_beyond_ascii_needs_a_series_that_allows_it() {
    let scratch = Scratch::new();
    let out = scratch.path("mask.dcm");
    let write = |set: Option<&[u8]>, name: &[u8], label: &str| {
        let dir = series(&scratch, set, &[(tags::PATIENT_NAME, VR::PN, name)]);
        let label = SegmentLabel { name: label.into(), ..SegmentLabel::default() };
        write_segmentation(&dir, &out, &empty_mask(&dir), &ClassTable::default(), &[label])
    };
    write(Some(b"ISO_IR 148"), b"Doe^Jane", "前立腺").unwrap();
    let object = file::open(&out).unwrap();
    assert_eq!(text(&object, tags::SPECIFIC_CHARACTER_SET), "ISO_IR 192");
    assert_eq!(text(&items(&object, tags::SEGMENT_SEQUENCE)[0], tags::SEGMENT_LABEL), "前立腺");
    let error = write(Some(b"ISO_IR 148"), b"\xC7avu\xFE", "前立腺").unwrap_err();
    assert!(matches!(error, Error::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("前立腺") && error.to_string().contains("ASCII"), "{error}");
    // Nor can it hold the name of a class, be it the second.
    let dir =
        series(&scratch, Some(b"ISO_IR 148"), &[(tags::PATIENT_NAME, VR::PN, b"\xC7avu\xFE")]);
    let classes = "gland=1,前立腺=2".parse().unwrap();
    let error = super::super::write_mask_like(&dir, &out, &empty_mask(&dir), &classes).unwrap_err();
    assert!(matches!(error, Error::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("前立腺"), "{error}");
    for odd in ["", "a\\b", "a\nb", &"x".repeat(65)] {
        let error = write(None, b"Doe", odd).unwrap_err();
        assert!(matches!(error, Error::Unwritable { .. }), "{error}");
    }
}

#[test]
fn values_are_found_in_every_transfer_syntax() {
    let scratch = Scratch::new();
    for syntax in SYNTAXES {
        let path = scratch.file("a.dcm", &Draft { syntax, ..draft(0.0) }.bytes());
        let elements = DicomFile::read_elements(&path).unwrap();
        let wanted = [tags::SERIES_DESCRIPTION, tags::PATIENT_NAME, tags::STUDY_INSTANCE_UID];
        let values = verbatim::Verbatim::read(&elements, &wanted).unwrap();
        assert_eq!(values.get(tags::SERIES_DESCRIPTION), Some(&b"t2 tra"[..]), "{syntax}");
        assert_eq!(values.ascii(tags::STUDY_INSTANCE_UID).as_deref(), Some("1.2.1"));
        assert_eq!(values.get(tags::PATIENT_NAME), None);
    }
}
