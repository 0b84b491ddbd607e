//! `desam evaluate` and `compare`: metrics, confidence intervals, comparisons.

use crate::common::{Ended, fixture, run};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Scores the fixture's model with some flags, in files of this test.
fn scores(name: &str, flags: &[&str]) -> (PathBuf, Ended) {
    let fixture = fixture();
    let [json, csv] = ["json", "csv"].map(|e| fixture.dir.path().join(format!("{name}.{e}")));
    let fixed = args![
        "evaluate",
        "--cache",
        fixture.cache,
        "--run",
        fixture.run,
        "--json",
        json,
        "--csv",
        csv,
    ];
    let ended = run(fixed.into_iter().chain(flags.iter().map(Into::into))).expect(0);
    (json, ended)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn metrics_are_measured_under_both_protocols() {
    for protocol in ["paper", "full"] {
        let flags = ["--protocol", protocol, "--metrics", "hd95,surface-dice@1.5", "--bootstrap"];
        let (json, ended) = scores(&format!("metrics-{protocol}"), &flags);
        for words in ["HD95 mm (lower is better)", "surface Dice at 1.5 mm, %", "95 % interval"] {
            assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
        }
        let found = read(&json);
        let names = ["dice", "hd95_mm", "surface_dice_1.5mm"];
        assert_eq!(found["metrics"], serde_json::json!(names));
        assert_eq!(found["bootstrap"]["resamples"], 10_000);
        for case in found["cases"].as_array().unwrap() {
            let metrics = case["metrics"].as_object().unwrap();
            assert!(metrics.keys().eq(["dice", "hd95_mm", "surface_dice_1.5mm"].iter()), "{case}");
            assert_eq!(case["dice"], case["metrics"]["dice"]);
            assert_eq!(case["grid"]["spacing_mm"].as_array().unwrap().len(), 3);
        }
        let hd95 = &found["sites"][1]["metrics"]["hd95_mm"];
        let [mean, low, high] =
            [&hd95["mean"], &hd95["interval"]["low"], &hd95["interval"]["high"]]
                .map(|v| v.as_f64().unwrap());
        assert!(low <= mean && mean <= high, "{hd95}");
        let csv = std::fs::read_to_string(json.with_extension("csv")).unwrap();
        assert!(csv.starts_with("site,case,role,dice_0_to_1,") && csv.contains(",hd95_mm,"));
    }
}

#[test]
fn metrics_all_stands_for_every_metric() {
    let (json, _) = scores("all", &["--metrics", "all", "--sites", "B"]);
    let found = read(&json);
    assert_eq!(found["metrics"].as_array().unwrap().len(), 14);
    assert_eq!(found["cases"][0]["metrics"].as_object().unwrap().len(), 14);
}

#[test]
fn wrong_bootstrap_settings_are_rejected_before_the_work() {
    let fixture = fixture();
    for wrong in [["--bootstrap", "5"], ["--bootstrap=200", "--level=1.5"]] {
        let evaluate = args!["evaluate", "--cache", fixture.cache, "--run", fixture.run];
        let refused = run(evaluate.into_iter().chain(wrong.map(Into::into)));
        // A usage error, like every number out of range.
        let refused = refused.expect(2);
        assert!(refused.stderr.contains("expected a"), "{refused:?}");
    }
    // A level needs intervals.
    let evaluate =
        args!["evaluate", "--cache", fixture.cache, "--run", fixture.run, "--level", "0.9"];
    run(evaluate).usage_error_with(&["--bootstrap"]);
}

#[test]
fn score_files_are_written_to_the_given_paths() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let fixture = fixture();
    let evaluate = |json: &str, csv: &str| {
        let fixed =
            args!["evaluate", "--cache", fixture.cache, "--run", fixture.run, "--sites", "B"];
        run(fixed.into_iter().chain(args!["--json", json, "--csv", csv]))
    };
    let refused = evaluate(&at("scores.json"), &at("")).fails_with(&["is a folder"]);
    assert!(!refused.stderr.contains("evaluating"), "found after the work: {refused:?}");
    let (json, csv) = (at("new/scores.json"), at("other/cases.csv"));
    evaluate(&json, &csv).expect(0);
    assert!(Path::new(&json).is_file() && Path::new(&csv).is_file());
}

#[test]
fn two_runs_are_compared_case_by_case() {
    let (a, _) = scores("first", &[]);
    let (b, _) = scores("second", &["--border", "0"]);
    run(args!["compare", a, b]).fails_with(&["not scored alike", "border"]);
    // The same scores, with a different Dice in one case of a target site.
    let mut other = read(&a);
    let cases = other["cases"].as_array_mut().unwrap();
    let case = cases.iter_mut().find(|c| c["role"] == "target").unwrap();
    let dice = case["dice"].as_f64().unwrap();
    (case["dice"], case["metrics"]["dice"]) =
        ((dice / 2.0 + 0.1).into(), (dice / 2.0 + 0.1).into());
    let c = a.with_file_name("third.json");
    std::fs::write(&c, other.to_string()).unwrap();
    let text = run(args!["compare", a, c]).expect(0).stdout;
    for words in ["B - A", "Wilcoxon p", "sign-flip p", "Holm over 2 target sites", "10000 draws"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let compared = |seed: &str| {
        let flags = args!["--json", "--bootstrap", "500", "--seed", seed];
        run(args!["compare", a, c].into_iter().chain(flags)).expect(0).json()
    };
    let found = compared("3");
    assert_eq!(found, compared("3"));
    assert_eq!(found["config"]["bootstrap"]["resamples"], 500);
    let difference = found["mean_of_cases"]["mean_difference"].as_f64().unwrap();
    // Two cases at each of two target sites.
    let expected = (0.1 - dice / 2.0) / 4.0;
    assert!(expected != 0.0);
    assert!((difference - expected).abs() < 1e-12, "{difference} {expected}");
}

#[test]
fn comparing_a_run_without_scores_suggests_evaluate() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture();
    run(args!["compare", folder.path(), fixture.run]).fails_with(&["desam evaluate", "paper"]);
}
