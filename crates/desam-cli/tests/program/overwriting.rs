//! Existing files are not overwritten without --force; runs evaluated differently share no table.

use crate::common::{fixture, run, run_copy};
use std::ffi::OsString;
use std::path::Path;

fn names(folder: &Path, start: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|n| n.starts_with(start)).collect();
    names.sort();
    names
}

#[test]
fn a_mask_is_overwritten_only_with_force() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let input = fixture.data.join("A/Case00.nii.gz");
    let mask = folder.path().join("mask.nii.gz");
    std::fs::write(&mask, "a reader's own work").unwrap();
    let predict = |more: &[&str]| {
        let fixed = args!["predict", "--model", fixture.run, "--input", input, "--output", mask];
        run(fixed.into_iter().chain(more.iter().map(OsString::from)))
    };
    let refused = predict(&[]).fails_with(&["mask.nii.gz already exists", "--force"]);
    assert!(!refused.stderr.contains("slice"), "found after the work: {refused:?}");
    assert_eq!(std::fs::read(&mask).unwrap(), b"a reader's own work");
    predict(&["--force"]).expect(0);
    assert_ne!(std::fs::read(&mask).unwrap(), b"a reader's own work");
    // The additional files of a mask count as well.
    std::fs::remove_file(&mask).unwrap();
    std::fs::write(folder.path().join("mask.json"), "{}").unwrap();
    predict(&["--save-json"]).fails_with(&["mask.json already exists"]);
    assert!(!mask.exists());
    predict(&[]).expect(0);
}

#[test]
fn existing_masks_of_a_folder_are_found_before_the_work() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in", "out"].map(|n| folder.path().join(n));
    std::fs::create_dir(&input).unwrap();
    std::fs::create_dir(&output).unwrap();
    for name in ["a", "b", "c"] {
        let to = input.join(format!("{name}.nii.gz"));
        std::fs::copy(fixture.data.join("A/Case00.nii.gz"), to).unwrap();
    }
    std::fs::write(output.join("b.nii.gz"), "old").unwrap();
    std::fs::write(output.join("c.nii.gz"), "old").unwrap();
    let predict = args!["predict", "--model", fixture.run, "--input", input, "--output", output];
    let refused = run(predict.clone()).fails_with(&["2 of the files", "b.nii.gz", "--force"]);
    assert!(!output.join("a.nii.gz").exists(), "found after the work: {refused:?}");
    run(predict.into_iter().chain(args!["--force"])).expect(0);
    assert_ne!(std::fs::read(output.join("c.nii.gz")).unwrap(), b"old");
}

#[test]
fn phantoms_are_overwritten_only_with_force() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("p");
    let phantom = args!["phantom", "-q", "--out", out, "--cases-per-site", "1"];
    run(phantom.clone()).expect(0);
    let first = out.join("A/Case00.nii.gz");
    std::fs::write(&first, "changed by hand").unwrap();
    run(phantom.clone()).fails_with(&["12 of the files", "Case00.nii.gz", "--force"]);
    assert_eq!(std::fs::read(&first).unwrap(), b"changed by hand");
    run(phantom.into_iter().chain(args!["--force"])).expect(0);
    assert_ne!(std::fs::read(&first).unwrap(), b"changed by hand");
}

#[test]
fn scores_of_other_settings_get_their_own_files_and_table() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let copy = run_copy(folder.path(), "run");
    let evaluate = |more: &[&str]| {
        let fixed = args!["evaluate", "-q", "--cache", fixture.cache, "--run", copy];
        run(fixed.into_iter().chain(more.iter().map(OsString::from)))
    };
    evaluate(&[]).expect(0);
    let before = std::fs::read(copy.join("evaluation_paper.json")).unwrap();
    // The same settings again: an error before the work, or overwritten with --force.
    let refused = evaluate(&[]).fails_with(&["evaluation_paper.json", "--force"]);
    assert!(!refused.stderr.contains("evaluating"), "{refused:?}");
    let beside = evaluate(&["--border", "0"]).expect(0);
    assert!(beside.stdout.contains("evaluation_paper_border0.json"), "{beside:?}");
    evaluate(&["--border", "0"]).fails_with(&["evaluation_paper_border0.json"]);
    evaluate(&["--force"]).expect(0);
    let found = names(&copy, "evaluation");
    let expected =
        ["", "_border0"].map(|s| ["csv", "json"].map(|e| format!("evaluation_paper{s}.{e}")));
    assert_eq!(
        found,
        expected
            .concat()
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(std::fs::read(copy.join("evaluation_paper.json")).unwrap(), before);
    // On one page they are in two tables.
    let page = folder.path().join("page.html");
    let scores = copy.join("evaluation_paper_border0.json");
    let report = args!["report", copy, scores, "--out", page, "--cases", "0", "--json"];
    let ended = run(report).expect(0);
    let json = ended.json();
    assert_eq!((json["runs"].as_u64(), json["tables"].as_u64()), (Some(2), Some(2)), "{json}");
    assert!(ended.stderr.contains("differ in border"), "{ended:?}");
    let html = std::fs::read_to_string(&page).unwrap();
    assert_eq!(html.matches("<table class=\"heat\">").count(), 2);
    assert!(html.contains("Scored with border 0") && html.contains("cannot be compared"));
    // A page is cheap to write again: it is overwritten, with a note.
    let again = run(args!["report", copy, "--out", page, "--cases", "0"]).expect(0);
    assert!(again.stderr.contains("will be overwritten"), "{again:?}");
    let html = std::fs::read_to_string(&page).unwrap();
    assert_eq!(html.matches("<table class=\"heat\">").count(), 1);
}

#[test]
fn impossible_scores_are_rejected_by_field() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let copy = run_copy(folder.path(), "run");
    run(args!["evaluate", "-q", "--cache", fixture.cache, "--run", copy]).expect(0);
    let path = copy.join("evaluation_paper.json");
    let good: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let page = folder.path().join("page.html");
    for value in [serde_json::json!(3.0), serde_json::json!(-1), serde_json::Value::Null] {
        let mut bad = good.clone();
        bad["cases"][0]["dice"] = value;
        std::fs::write(&path, bad.to_string()).unwrap();
        let words = ["evaluation_paper.json", "cases[0].dice"];
        run(args!["report", copy, "--out", page, "--cases", "0"]).fails_with(&words);
        run(args!["compare", copy, copy]).fails_with(&words);
    }
    assert!(!page.exists());
}

#[test]
fn a_demo_needs_a_folder_without_its_files() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["data", "index.html"] {
        let out = folder.path().join(part);
        std::fs::create_dir_all(out.join(part)).unwrap();
        run(args!["demo", "--out", out]).fails_with(&["already holds", part]);
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
    }
}
