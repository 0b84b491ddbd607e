//! Folders that hold more than the slices of one series.

use super::*;
use crate::volumes::{Loaded, ReadOptions, load_volume};

/// Three slices of series 1.2.3, named as a program that exports them would.
fn good(scratch: &Scratch) -> PathBuf {
    let dir = scratch.path("in");
    std::fs::remove_dir_all(&dir).ok();
    std::fs::create_dir(&dir).unwrap();
    for (name, z) in [("a.dcm", 0.0), ("b.dcm", 3.0), ("c.dcm", 6.0)] {
        std::fs::write(dir.join(name), draft(z).bytes()).unwrap();
    }
    dir
}

fn load(dir: &Path, choice: &str) -> Result<Loaded<Volume>> {
    let choice = if choice.is_empty() { SeriesChoice::Only } else { choice.parse().unwrap() };
    load_volume(dir, &ReadOptions::default().with_series(choice))
}

/// The SOP class of basic text reports.
const REPORT: &str = uids::BASIC_TEXT_SR_STORAGE;

/// A draft of another series.
fn other() -> Draft {
    Draft { series: "1.2.9".into(), description: "other".into(), ..draft(0.0) }
}

/// Objects that are no slice of a volume, and a word of why.
fn no_slices() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let without = |without| other().without(without);
    let photometric = |photometric| Draft { photometric, ..other() }.bytes();
    let changed = |tag: [u8; 4], value: u16| {
        let mut bytes = other().bytes();
        let at = bytes.windows(4).position(|w| w == tag).unwrap();
        bytes[at + 8..at + 10].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    // (0028,0008) NumberOfFrames goes where the parser takes it, behind the pixels.
    let frames = b"\x28\x00\x08\x00IS\x02\x003 ".to_vec();
    vec![
        ("no position", without(&[tags::IMAGE_POSITION_PATIENT]), "ImagePositionPatient"),
        ("no orientation", without(&[tags::IMAGE_ORIENTATION_PATIENT]), "ImageOrientationPatient"),
        ("no spacing", without(&[tags::PIXEL_SPACING]), "PixelSpacing"),
        (
            "no place at all",
            without(&[
                tags::IMAGE_POSITION_PATIENT,
                tags::IMAGE_ORIENTATION_PATIENT,
                tags::PIXEL_SPACING,
            ]),
            "Patient",
        ),
        ("no pixels", without(&[tags::PIXEL_DATA]), "no pixels"),
        ("colour", photometric("RGB"), "RGB"),
        ("palette", photometric("PALETTE COLOR"), "PALETTE"),
        ("samples", changed([0x28, 0, 2, 0], 3), "expected MONOCHROME"),
        ("bits", changed([0x28, 0, 0, 1], 64), "of 64 bits"),
        ("rows", changed([0x28, 0, 0x10, 0], 0), "rows or columns"),
        ("frames", Draft { extra: frames, ..other() }.bytes(), "3 frames"),
        (
            "a report",
            Draft { class: REPORT, ..other() }.without(&[tags::ROWS, tags::PIXEL_DATA]),
            "no image",
        ),
        ("no rows", without(&[tags::ROWS, tags::PIXEL_DATA]), "no Rows"),
    ]
}

#[test]
fn an_object_of_another_series_does_not_stop_the_chosen_one() {
    let scratch = Scratch::new();
    for (what, bytes, why) in no_slices() {
        let dir = good(&scratch);
        // First and last by name, with and without an ending.
        for name in ["0", "b2.dcm", "zz.dcm"] {
            std::fs::write(dir.join(name), &bytes).unwrap();
        }
        for choice in ["1.2.3", "axial", "T2", ""] {
            let loaded = load(&dir, choice).unwrap_or_else(|e| panic!("{what}, {choice:?}: {e}"));
            assert_eq!(loaded.value.grid().dims, [3, 2, 3], "{what}, {choice:?}");
            assert!(loaded.warnings.is_empty(), "{what}, {choice:?}: {loaded:?}");
            let said = loaded.details.join("\n");
            if choice == "1.2.3" {
                assert!(said.contains("3 files of other series"), "{what}: {said}");
            } else {
                assert!(said.contains("zz.dcm") && said.contains(why), "{what}: {said}");
            }
        }
        // On its own it is no volume, and why is said.
        std::fs::create_dir_all(scratch.path("alone")).unwrap();
        std::fs::write(scratch.path("alone/x.dcm"), &bytes).unwrap();
        assert!(!is_dicom_folder(&scratch.path("alone")).unwrap(), "{what}");
        let error = load(&scratch.path("alone"), "").unwrap_err().to_string();
        assert!(error.contains("no DICOM image") && error.contains(why), "{what}: {error}");
        let error = load(&scratch.path("alone/x.dcm"), "").unwrap_err().to_string();
        assert!(error.contains("x.dcm") && error.contains(why), "{what}: {error}");
        // What is no slice of any series does not count as a series that could be chosen.
        let error = load(&dir, "1.2.9").unwrap_err().to_string();
        assert!(error.contains("1.2.9") && error.contains("1.2.3"), "{what}: {error}");
    }
}

#[test]
fn a_broken_file_of_another_series_does_not_stop_the_chosen_one() {
    let scratch = Scratch::new();
    let whole = other().bytes();
    // Behind the SeriesInstanceUID (0020,000E), of five bytes and one of padding.
    let uid = whole.windows(4).position(|w| w == [0x20, 0, 0xE, 0]).unwrap() + 8 + 6;
    let dir = good(&scratch);
    for cut in (uid..whole.len()).step_by(7) {
        std::fs::write(dir.join("zz.dcm"), &whole[..cut]).unwrap();
        let read = load(&dir, "1.2.3").unwrap_or_else(|e| panic!("{cut}: {e}"));
        assert_eq!(read.value.grid().dims[2], 3);
        // Of the other series it is an error, and without a choice it could have been meant. Where it
        // was cut between two elements it is a whole object without Rows or pixels, and no slice.
        let error = load(&dir, "1.2.9").unwrap_err().to_string();
        assert!(error.contains("zz.dcm"), "{cut}: {error}");
        let said = match load(&dir, "") {
            Ok(loaded) => loaded.details.join("\n"),
            Err(error) => error.to_string(),
        };
        assert!(said.contains("zz.dcm") || said.contains("1.2.9"), "{cut}: {said}");
    }
    // Without a UID it could be of the chosen series.
    for cut in [0, 1, 131, 200, uid - 16, uid - 14, uid - 8] {
        std::fs::write(dir.join("zz.dcm"), &whole[..cut]).unwrap();
        for choice in ["", "1.2.3", "axial", "1.2.9"] {
            let error = load(&dir, choice).unwrap_err().to_string();
            assert!(error.contains("zz.dcm") && error.contains("copy it again"), "{cut}: {error}");
        }
    }
}

#[test]
fn a_slice_that_cannot_be_read_is_named_wherever_it_lies() {
    let scratch = Scratch::new();
    let cut = draft(3.0).bytes();
    for name in ["0.dcm", "b.dcm", "z.dcm", "b.IMA", "zz"] {
        for bytes in [&b""[..], &cut[..90], &cut[..300], &cut[..cut.len() - 4], &[0xAA; 900]] {
            let dir = good(&scratch);
            // `zz` has no ending: only among others of such names must it be a slice.
            std::fs::rename(dir.join("a.dcm"), dir.join("1.2.3.4")).unwrap();
            std::fs::write(dir.join(name), bytes).unwrap();
            for choice in ["", "1.2.3", "t2"] {
                let error = load(&dir, choice).unwrap_err().to_string();
                assert!(error.contains(name), "{name}, {} bytes: {error}", bytes.len());
            }
        }
    }
}

#[test]
fn other_files_are_named_with_the_details() {
    let scratch = Scratch::new();
    let dir = good(&scratch);
    let names = [".DS_Store", "LICENSE", "Thumbs.db", "old.nii", "report.pdf", "side.json"];
    for name in names {
        std::fs::write(dir.join(name), b"\0").unwrap();
    }
    let loaded = load(&dir, "").unwrap();
    assert!(loaded.warnings.is_empty(), "{loaded:?}");
    assert_eq!(loaded.details.len(), names.len(), "{loaded:?}");
    for name in names {
        assert!(loaded.details.iter().any(|d| d.contains(name)), "{name}: {loaded:?}");
    }
}

#[test]
fn objects_of_the_same_series_are_never_left_out_without_a_word() {
    let scratch = Scratch::new();
    for (what, bytes, why) in no_slices() {
        let dir = good(&scratch);
        let at = bytes.windows(4).position(|w| w == [0x20, 0, 0xE, 0]).unwrap() + 8;
        let mut bytes = bytes;
        bytes[at..at + 5].copy_from_slice(b"1.2.3");
        std::fs::write(dir.join("zz.dcm"), &bytes).unwrap();
        match (what, load(&dir, "")) {
            ("a report", Ok(loaded)) => {
                assert!(loaded.details[0].contains(why), "{loaded:?}");
            }
            ("colour" | "palette" | "samples", Ok(loaded)) => {
                let [warning] = loaded.warnings.as_slice() else { panic!("{what}: {loaded:?}") };
                assert!(warning.contains("zz.dcm") && warning.contains(why), "{warning}");
                assert_eq!(loaded.value.grid().dims[2], 3);
            }
            (_, Err(error)) => {
                let error = error.to_string();
                assert!(error.contains("zz.dcm") && error.contains(why), "{what}: {error}");
                assert!(error.contains("another folder"), "{what}: {error}");
            }
            (_, Ok(loaded)) => panic!("{what}: {loaded:?}"),
        }
    }
    // A series that no file names is one of its own.
    let dir = good(&scratch);
    let nameless = Draft { without: &[tags::SERIES_INSTANCE_UID], ..other() };
    std::fs::write(dir.join("zz.dcm"), nameless.bytes()).unwrap();
    assert_eq!(load(&dir, "1.2.3").unwrap().value.grid().dims[2], 3);
    assert!(load(&dir, "").unwrap_err().to_string().contains("2 series fit"));
}

#[test]
fn monochrome1_is_inverted_within_its_stored_bits() {
    let scratch = Scratch::new();
    let dir = good(&scratch);
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::create_dir(&dir).unwrap();
    // As ITK 5.4 reads them (SimpleITK 2.5.7): 4095 − v of 12 stored bits, before the rescaling;
    // −1 − v of signed values.
    let pixels = vec![0, 1, 7, 100, 4094, 4095];
    let white = Draft { photometric: "MONOCHROME1", pixels, ..draft(0.0) };
    std::fs::write(dir.join("a.dcm"), white.bytes()).unwrap();
    assert_eq!(load(&dir, "").unwrap().value.data(), [4095.0, 4094.0, 4088.0, 3995.0, 1.0, 0.0]);
    let rescaled = Draft { rescale: Some((2.0, -5.0)), ..white.clone() };
    std::fs::write(dir.join("a.dcm"), rescaled.bytes()).unwrap();
    let expected = [8185.0, 8183.0, 8171.0, 7985.0, -3.0, -5.0];
    assert_eq!(load(&dir, "").unwrap().value.data(), expected);
    let signed = Draft { signed: true, pixels: vec![100, 107, 0, 1, -1, 2047], ..white };
    std::fs::write(dir.join("a.dcm"), signed.bytes()).unwrap();
    assert_eq!(load(&dir, "").unwrap().value.data(), [-101.0, -108.0, -1.0, -2.0, 0.0, -2048.0]);
}

#[test]
fn one_file_of_a_series_is_one_slice_with_a_warning() {
    let scratch = Scratch::new();
    let dir = good(&scratch);
    std::fs::write(dir.join("zz.dcm"), other().bytes()).unwrap();
    let loaded = load(&dir.join("b.dcm"), "").unwrap();
    assert_eq!(loaded.value.grid().dims, [3, 2, 1]);
    let [warning] = loaded.warnings.as_slice() else { panic!("{loaded:?}") };
    assert!(warning.contains("b.dcm") && warning.contains("2 more files"), "{warning}");
    // The only one of its series.
    assert!(load(&dir.join("zz.dcm"), "").unwrap().warnings.is_empty());
}
