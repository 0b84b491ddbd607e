//! File names that are not UTF-8, and file names with terminal escape sequences.

#![cfg(unix)]

use crate::common::{fixture, run};
use desam::volume::volumes::{read_labels, read_volume, write_labels};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

fn name(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}

/// Copies a case of the fixture's data to another name.
fn copy(case: &str, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(fixture().data.join(format!("{case}.nii.gz")), to).unwrap();
}

fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn names_of_volumes_and_masks_keep_their_bytes() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join(name(b"d\xff"));
    let input = dir.join(name(b"caf\xe9.nii.gz"));
    copy("A/Case00", &input);
    let facts = run(args!["info", input, "--json"]).expect(0).json();
    let path = facts["path"].as_str().unwrap();
    assert!(path.ends_with("d\\xFF/caf\\xE9.nii.gz"), "{path}");
    assert_eq!(desam::types::text::path_from_text(path), input);
    run(args!["info", input]).expect(0);
    for format in ["nii", "hdr", "mha", "mhd", "nrrd", "nhdr"] {
        let mask = dir.join(name(format!("m-{format}/m").as_bytes())).with_file_name({
            let mut file = name(b"\xe9t\xe9.");
            file.push(format);
            file
        });
        let predict = args!["predict", "-q", "--model", fixture.run, "--input", input, "--output"];
        let extras =
            args![mask, "--json", "--save-json", "--save-probability", "--overlay", "middle"];
        let json = run(predict.into_iter().chain(extras)).expect(0).json();
        let output = json["done"][0]["output"].as_str().unwrap();
        assert!(output.ends_with(&format!("\\xE9t\\xE9.{format}")), "{output}");
        for file in names(mask.parent().unwrap()) {
            assert!(file.as_bytes().starts_with(b"\xe9t\xe9."), "{file:?}");
        }
        // The header names the detached data file by the same bytes.
        assert_eq!(
            read_labels(&mask).unwrap().grid().dims,
            read_volume(&input).unwrap().grid().dims
        );
        run(args!["info", mask, "--json"]).expect(0);
    }
}

#[test]
fn no_volume_of_a_folder_is_skipped_for_its_name() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in", "out"].map(|n| folder.path().join(n));
    copy("A/Case00", &input.join(name(b"a\xe9.nii.gz")));
    copy("B/Case00", &input.join("b.nii.gz"));
    let predict = args!["predict", "--model", fixture.run, "--input", input, "--output", output];
    let json = run(predict.into_iter().chain(args!["--json"])).expect(0).json();
    assert_eq!(json["done"].as_array().unwrap().len(), 2, "{json}");
    assert_eq!(names(&output), [name(b"a\xe9.nii.gz"), name(b"b.nii.gz")]);
}

#[test]
fn a_case_name_that_is_not_utf8_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (from, to) in [("A/Case00", &b"one"[..]), ("A/Case01", b"tw\xf6")] {
        for end in ["", "_segmentation"] {
            let file = [to, end.as_bytes(), b".nii.gz"].concat();
            copy(&format!("{from}{end}"), &data.join("A").join(name(&file)));
        }
    }
    run(args!["info", data]).fails_with(&["not UTF-8"]);
    let verified = run(args!["verify", "--data", data, "--json", "-q"]).expect(1).json();
    assert_eq!(verified["cases"].as_array().unwrap().len(), 1, "{verified}");
    assert_eq!(verified["layout_errors"].as_array().unwrap().len(), 2, "{verified}");
    // A CSV file names the case independently of its files.
    let table = folder.path().join("cases.csv");
    let rows = [
        &b"image,label,case,site\ndata/A/tw\xf6.nii.gz,data/A/tw\xf6_segmentation.nii.gz,two,A\n"[..],
        b"data/A/one.nii.gz,data/A/one_segmentation.nii.gz,one,A\n",
    ];
    std::fs::write(&table, rows.concat()).unwrap();
    let cache = folder.path().join(name(b"c\xe4che"));
    let embed = args!["embed", "--data", table, "--out", cache, "--encoder", "tiny", "--json"];
    let json = run(embed).expect(0).json();
    assert!(json["cache"].as_str().unwrap().ends_with("c\\xE4che"), "{json}");
    let facts = run(args!["info", cache, "--json", "--verify"]).expect(0).json();
    assert_eq!(facts["cases"], 2);
    let header = std::fs::read_to_string(cache.join("cache.json")).unwrap();
    assert!(header.contains(r"data/A/tw\\xF6.nii.gz"), "{header}");
    // Names of cases and sites must be UTF-8.
    std::fs::write(&table, [rows[0], b"data/A/one.nii.gz,,\xff,A\n"].concat()).unwrap();
    run(args!["info", table]).fails_with(&["line 3", "not UTF-8"]);
}

#[test]
fn the_whole_workflow_runs_in_a_folder_that_is_not_utf8() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let at = |bytes: &[u8]| -> PathBuf { folder.path().join(name(bytes)) };
    let (out, page) = (at(b"r\xfcn"), at(b"p\xe4ge.html"));
    let train = args![
        "train",
        "-q",
        "--cache",
        fixture.cache,
        "--source",
        "A",
        "--mode",
        "box",
        "--out",
        out,
        "--epochs",
        "1",
        "--json",
    ];
    let json = run(train).expect(0).json();
    assert!(json["run"].as_str().unwrap().ends_with("r\\xFCn"), "{json}");
    run(args!["info", out, "--json"]).expect(0);
    let evaluate = args!["evaluate", "-q", "--cache", fixture.cache, "--run", out, "--json"];
    run(evaluate).expect(0);
    run(args!["report", "-q", out, "--out", page, "--cases", "0", "--json"]).expect(0);
    let copy = at(b"c\xf6py.safetensors");
    run(args!["convert", out.join("model.safetensors"), copy, "--json"]).expect(0);
    let phantoms = at(b"ph\xe4");
    run(args!["phantom", "--out", phantoms, "--cases-per-site", "1", "--json"]).expect(0);
    let plan = at(b"pl\xe4n");
    let sweep = args![
        "sweep",
        "plan",
        "--table",
        "1",
        "--cache",
        fixture.cache,
        "--out",
        plan,
        "--modes",
        "box",
        "--json",
    ];
    run(sweep).expect(0);
    run(args!["sweep", "status", plan, "--json"]).expect(0);
    // An encoder from a file with such a name.
    let encoder = at(b"enc\xf6der.safetensors");
    std::fs::copy(fixture.cache.join("model.safetensors"), &encoder).unwrap();
    let cache = at(b"c\xe4che");
    let embed = args!["embed", "-q", "--data", fixture.data, "--out", cache, "--encoder", encoder];
    run(embed).expect(0);
    let facts = run(args!["info", cache, "--json"]).expect(0).json();
    assert_eq!(facts["recipe"]["encoder"]["name"], "enc\\xF6der.safetensors");
    // Arguments that are not paths must be UTF-8.
    let words = args!["report", out, "--out", page, "--title", name(b"\xff")];
    assert!(run(words).expect(2).stderr.contains("UTF-8"));
}

#[test]
fn escape_sequences_in_names_are_escaped_in_output() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let hostile = folder.path().join("\u{1b}[2J\u{1b}]0;owned\u{7}.nii.gz");
    copy("A/Case00", &hostile);
    let mask = folder.path().join("\u{9b}31m.nii.gz");
    let info = run(args!["info", hostile]).expect(0);
    let predict =
        run(args!["predict", "--model", fixture.run, "--input", hostile, "--output", mask])
            .expect(0);
    let again = run(args!["predict", "--model", fixture.run, "--input", hostile, "--output", mask]);
    let missing = run(args!["info", folder.path().join("\u{1b}[31mnone")]);
    for ended in [info, predict, again.expect(1), missing.expect(1)] {
        let shown = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        assert!(shown.contains("\\u{"), "{shown:?}");
    }
    let json = run(args!["info", hostile, "--json"]).expect(0).json();
    assert!(json["path"].as_str().unwrap().contains('\u{1b}'));
}

#[test]
fn site_names_that_a_list_cannot_contain_are_rejected() {
    for (site, word) in [("A,B", "comma"), ("A\u{1b}[31m", "control character")] {
        let folder = tempfile::tempdir().unwrap();
        for end in ["", "_segmentation"] {
            let file = format!("{site}/Case00{end}.nii.gz");
            copy(&format!("A/Case00{end}"), &folder.path().join(file));
        }
        let cache = folder.path().join("cache");
        let embed = args!["embed", "--data", folder.path(), "--out", cache, "--encoder", "tiny"];
        let refused = run(embed).fails_with(&[word]);
        assert!(!refused.stderr.contains('\u{1b}') && !cache.join("cache.json").exists());
        run(args!["verify", "--data", folder.path()]).fails_with(&[word]);
    }
}

#[test]
fn an_affine_of_zeros_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flat.mha");
    let labels = read_labels(&fixture().data.join("A/Case00_segmentation.nii.gz")).unwrap();
    write_labels(&path, &labels).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().find(|l| l.starts_with("TransformMatrix")).unwrap().to_owned();
    let at = bytes.windows(line.len()).position(|w| w == line.as_bytes()).unwrap();
    let zeros = b"TransformMatrix = 0 0 0 0 0 0 0 0 0";
    let flat = [&bytes[..at], &zeros[..], &bytes[at + line.len()..]].concat();
    std::fs::write(&path, flat).unwrap();
    run(args!["info", path]).fails_with(&["flat.mha"]);
    let fixture = fixture();
    let mask = folder.path().join("mask.nii.gz");
    run(args!["predict", "--model", fixture.run, "--input", path, "--output", mask])
        .fails_with(&["flat.mha"]);
    assert!(!mask.exists());
}
