//! Folders that contain DICOM files: which volumes they hold.

use crate::common::{Ended, fixture, run};
use desam::volume::nifti::read_labels;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A slice of 32 × 24 pixels as a scanner writes it: explicit VR, little endian.
struct Slice {
    series: &'static str,
    description: &'static str,
    z: f64,
    photometric: &'static str,
    positioned: bool,
}

fn slice(series: &'static str, description: &'static str, z: f64) -> Slice {
    Slice { series, description, z, photometric: "MONOCHROME2", positioned: true }
}

impl Slice {
    fn bytes(&self) -> Vec<u8> {
        let mut meta = Vec::new();
        put(&mut meta, (2, 0x10), b"UI", b"1.2.840.10008.1.2.1");
        let mut out = vec![0; 128];
        out.extend(b"DICM");
        put(&mut out, (2, 0), b"UL", &(meta.len() as u32).to_le_bytes());
        out.extend(meta);
        put(&mut out, (8, 0x16), b"UI", b"1.2.840.10008.5.1.4.1.1.4");
        let instance = format!("{}.{}", self.series, (self.z * 10.0) as i64 + 1);
        put(&mut out, (8, 0x18), b"UI", instance.as_bytes());
        put(&mut out, (8, 0x103E), b"LO", self.description.as_bytes());
        put(&mut out, (0x18, 0x50), b"DS", b"3");
        put(&mut out, (0x20, 0xD), b"UI", b"1.2.1");
        put(&mut out, (0x20, 0xE), b"UI", self.series.as_bytes());
        if self.positioned {
            put(&mut out, (0x20, 0x32), b"DS", format!("-10\\-20\\{}", self.z).as_bytes());
            put(&mut out, (0x20, 0x37), b"DS", b"1\\0\\0\\0\\1\\0");
        }
        put(&mut out, (0x20, 0x52), b"UI", b"1.2.2");
        for (element, value) in [(2, 1_u16), (0x10, 24), (0x11, 32), (0x100, 16), (0x101, 12)] {
            if element == 0x10 {
                put(&mut out, (0x28, 4), b"CS", self.photometric.as_bytes());
            }
            if element == 0x100 {
                put(&mut out, (0x28, 0x30), b"DS", b"0.75\\0.5");
            }
            put(&mut out, (0x28, element), b"US", &value.to_le_bytes());
        }
        put(&mut out, (0x28, 0x102), b"US", &11_u16.to_le_bytes());
        put(&mut out, (0x28, 0x103), b"US", &0_u16.to_le_bytes());
        let pixel = |v: u32| ((v * 37 + self.z as u32) % 997 + 1) as u16;
        let pixels = (0..24 * 32).flat_map(|v| pixel(v).to_le_bytes());
        out.extend([0xE0, 0x7F, 0x10, 0, b'O', b'W', 0, 0]);
        out.extend((24 * 32 * 2_u32).to_le_bytes());
        out.extend(pixels);
        out
    }
}

/// Appends an element with explicit VR; odd values are padded to even length.
fn put(out: &mut Vec<u8>, tag: (u16, u16), vr: &[u8; 2], value: &[u8]) {
    let odd = value.len() % 2;
    out.extend(tag.0.to_le_bytes());
    out.extend(tag.1.to_le_bytes());
    out.extend(vr);
    out.extend(((value.len() + odd) as u16).to_le_bytes());
    out.extend(value);
    out.extend(vec![if vr == b"UI" { 0 } else { b' ' }; odd]);
}

/// Writes slices of a series to a folder, `s0.dcm` onwards.
fn series(folder: &Path, uid: &'static str, description: &'static str, slices: usize) {
    std::fs::create_dir_all(folder).unwrap();
    for index in 0..slices {
        let bytes = slice(uid, description, 3.0 * index as f64).bytes();
        std::fs::write(folder.join(format!("s{index}.dcm")), bytes).unwrap();
    }
}

/// A folder `in` that contains a series of four slices.
fn folder() -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let input = scratch.path().join("in");
    series(&input, "1.2.3", "t2 tra", 4);
    (scratch, input)
}

fn predict(input: &Path, output: &Path, extra: &[&str]) -> Ended {
    let all = args![
        "predict",
        "-q",
        "--force",
        "--model",
        fixture().run,
        "--input",
        input,
        "--output",
        output
    ];
    run(all.into_iter().chain(extra.iter().map(|e| OsStr::new(e).to_owned())))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn slices(mask: &Path) -> usize {
    read_labels(mask).unwrap().grid().dims[2]
}

#[test]
fn a_series_and_other_volumes_of_a_folder_are_all_segmented() {
    let (scratch, input) = folder();
    std::fs::copy(fixture().data.join("A/Case00.nii.gz"), input.join("old.nii.gz")).unwrap();
    series(&input.join("adc"), "1.2.5", "adc", 2);
    let masks = scratch.path().join("masks");
    let ended = predict(&input, &masks, &["--json"]).expect(0).json();
    assert_eq!(ended["done"].as_array().unwrap().len(), 3);
    assert_eq!(names(&masks), ["adc.nii.gz", "in.nii.gz", "old.nii.gz"]);
    assert_eq!(slices(&masks.join("in.nii.gz")), 4);
    assert_eq!(slices(&masks.join("adc.nii.gz")), 2);
    // A file name for the masks of three volumes is an error, not the name of a new folder.
    let mask = scratch.path().join("mask.nii.gz");
    predict(&input, &mask, &[]).fails_with(&[
        "3 volumes",
        "old.nii.gz",
        "adc",
        "--output",
        "folder",
    ]);
    assert!(!mask.exists());
    // A chosen series is one volume; warnings name the others.
    for (choice, depth) in [("1.2.3", 4), ("adc", 2), ("1.2.5", 2)] {
        let mask = scratch.path().join(format!("{choice}.nii.gz"));
        let ended = predict(&input, &mask, &["--series", choice]).expect(0);
        assert!(mask.is_file(), "{ended:?}");
        assert_eq!(slices(&mask), depth);
        assert!(ended.stderr.contains("old.nii.gz is skipped"), "{ended:?}");
        let other = if choice == "1.2.3" { "adc" } else { "in" };
        assert!(ended.stderr.contains(&format!("{other} is skipped")), "{ended:?}");
    }
    // Both are axial: two volumes, which need a folder.
    predict(&input, &mask, &["--series", "axial"]).fails_with(&["2 volumes"]);
    let both = scratch.path().join("both");
    predict(&input, &both, &["--series", "axial"]).expect(0);
    assert_eq!(names(&both), ["adc.nii.gz", "in.nii.gz"]);
    predict(&input, &mask, &["--series", "1.2.77"]).fails_with(&["1.2.77", "1.2.3", "1.2.5"]);
    assert!(!mask.exists());
    // info describes the series and warns about the other volumes.
    let info = run(args!["info", input, "--json"]).expect(0);
    assert_eq!(info.json()["dims"][2], 4);
    assert!(info.json()["warnings"][0].as_str().unwrap().contains("old.nii.gz"), "{info:?}");
    assert!(info.stderr.contains("adc"), "{info:?}");
}

#[test]
fn a_single_series_in_a_subfolder_gives_one_mask() {
    let scratch = tempfile::tempdir().unwrap();
    let input = scratch.path().join("in");
    series(&input.join("T2"), "1.2.3", "t2 tra", 4);
    std::fs::write(input.join("notes.txt"), "as scanned").unwrap();
    let mask = scratch.path().join("mask.nii.gz");
    for extra in [&[][..], &["--series", "t2"]] {
        predict(&input, &mask, extra).expect(0);
        assert!(mask.is_file());
        assert_eq!(slices(&mask), 4);
        std::fs::remove_file(&mask).unwrap();
    }
    // An existing folder receives the masks; so does a name without a volume's extension.
    let masks = scratch.path().join("masks");
    predict(&input, &masks, &[]).expect(0);
    predict(&input, &masks, &[]).expect(0);
    assert_eq!(names(&masks), ["T2.nii.gz"]);
    run(args!["info", input]).fails_with(&["T2"]);
    // The same for one volume of another format.
    let nifti = scratch.path().join("nifti");
    std::fs::create_dir(&nifti).unwrap();
    std::fs::copy(fixture().data.join("A/Case00.nii.gz"), nifti.join("a.nii.gz")).unwrap();
    predict(&nifti, &mask, &[]).expect(0);
    assert!(mask.is_file());
}

#[test]
fn volumes_in_deeper_folders_are_listed_in_warnings() {
    let (scratch, input) = folder();
    series(&input.join("study/adc"), "1.2.5", "adc", 2);
    std::fs::create_dir(input.join("converted")).unwrap();
    let nifti = input.join("converted/t2.nii.gz");
    std::fs::copy(fixture().data.join("A/Case00.nii.gz"), nifti).unwrap();
    let mask = scratch.path().join("mask.nii.gz");
    let ended = predict(&input, &mask, &[]).expect(0);
    assert_eq!(slices(&mask), 4);
    for folder in ["study/adc is skipped", "converted/t2.nii.gz is skipped"] {
        assert!(ended.stderr.contains(folder), "{ended:?}");
    }
    // Masks written to a subfolder of the input are not listed.
    std::fs::remove_dir_all(input.join("converted")).unwrap();
    std::fs::remove_dir_all(input.join("study")).unwrap();
    let inside = input.join("out/mask.nii.gz");
    for _ in 0..2 {
        let ended = predict(&input, &inside, &[]).expect(0);
        assert!(!ended.stderr.contains("skipped"), "{ended:?}");
    }
    let only_deep = scratch.path().join("deep");
    series(&only_deep.join("patient/t2"), "1.2.5", "t2", 2);
    predict(&only_deep, &mask, &[]).fails_with(&["patient/t2", "use one of them"]);
    predict(&only_deep, &mask, &["--series", "t2"]).fails_with(&["patient/t2", "use one"]);
}

#[test]
fn objects_that_are_not_slices_are_skipped_and_listed_with_v() {
    let (scratch, input) = folder();
    let screenshot = Slice { photometric: "RGB", positioned: false, ..slice("1.2.8", "shot", 0.0) };
    std::fs::write(input.join("zz.dcm"), screenshot.bytes()).unwrap();
    std::fs::write(input.join("LICENSE"), "terms").unwrap();
    let mask = scratch.path().join("mask.nii.gz");
    let quiet = predict(&input, &mask, &[]).expect(0);
    // The content of the mask does not matter here.
    assert!(!quiet.stderr.contains("zz.dcm") && !quiet.stderr.contains("LICENSE"), "{quiet:?}");
    let all = args![
        "predict",
        "-v",
        "--force",
        "--model",
        fixture().run,
        "--input",
        input,
        "--output",
        mask
    ];
    let verbose = run(all).expect(0);
    assert!(verbose.stderr.contains("zz.dcm") && verbose.stderr.contains("LICENSE"), "{verbose:?}");
    assert_eq!(slices(&mask), 4);
    // Alone in a folder it is not a volume, and the other volumes still succeed.
    let study = scratch.path().join("study");
    std::fs::create_dir_all(study.join("shots")).unwrap();
    std::fs::rename(input.join("zz.dcm"), study.join("shots/zz.dcm")).unwrap();
    series(&study.join("t2"), "1.2.3", "t2 tra", 4);
    predict(&study, &scratch.path().join("masks"), &[]).expect(0);
    predict(&study.join("shots"), &mask, &[]).fails_with(&["zz.dcm", "RGB"]);
}

#[test]
fn an_unreadable_slice_is_an_error_that_names_it() {
    let (scratch, input) = folder();
    let mask = scratch.path().join("mask.nii.gz");
    for name in ["s0.dcm", "s1.dcm", "s3.dcm"] {
        let whole = std::fs::read(input.join(name)).unwrap();
        for cut in [0, 100, 400, whole.len() - 2] {
            std::fs::write(input.join(name), &whole[..cut]).unwrap();
            predict(&input, &mask, &[]).fails_with(&[name]);
            predict(&input, &mask, &["--series", "1.2.3"]).fails_with(&[name]);
            run(args!["info", input]).fails_with(&[name]);
        }
        std::fs::write(input.join(name), whole).unwrap();
    }
    assert!(!mask.exists());
}

#[test]
fn a_single_file_of_a_series_gives_a_warning() {
    let (scratch, input) = folder();
    let mask = scratch.path().join("mask.nii.gz");
    let ended = predict(&input.join("s1.dcm"), &mask, &["--json"]).expect(0);
    assert!(
        ended.stderr.contains("warning: ") && ended.stderr.contains("3 more files"),
        "{ended:?}"
    );
    let json = ended.json();
    let more = json["warnings"].as_array().unwrap().iter();
    assert_eq!(more.filter(|w| w.as_str().unwrap().contains("3 more files")).count(), 1);
    assert_eq!(slices(&mask), 1);
    // A format that has no series.
    let nifti = fixture().data.join("A/Case00.nii.gz");
    predict(&nifti, &mask, &["--series", "axial"]).fails_with(&["--series is for DICOM only"]);
}

#[test]
fn verify_and_info_list_series_without_a_label() {
    let scratch = tempfile::tempdir().unwrap();
    let site = scratch.path().join("A");
    std::fs::create_dir(&site).unwrap();
    for end in [".nii.gz", "_segmentation.nii.gz"] {
        let name = format!("Case00{end}");
        std::fs::copy(fixture().data.join("A").join(&name), site.join(&name)).unwrap();
    }
    series(&site.join("Case07"), "1.2.3", "t2 tra", 4);
    let verified = run(args!["verify", "--data", scratch.path()]).expect(0);
    assert!(verified.stdout.contains("Case07"), "{verified:?}");
    let info = run(args!["info", scratch.path()]).expect(0);
    assert!(info.stderr.contains("warning: ") && info.stderr.contains("Case07"), "{info:?}");
}
