//! Distributed embedding: parts give the same bytes as a single run, even if one is killed.

use crate::common::{Ended, fixture, program, run};
use crate::killed::{Moment, files, kill};
use std::ffi::OsString;
use std::path::Path;

/// The command that made the fixture's cache, with another output folder.
fn embed(cache: &Path, more: &[&str]) -> Vec<OsString> {
    let data = &fixture().data;
    let all = args![
        "embed",
        "-q",
        "--data",
        data,
        "--out",
        cache,
        "--encoder",
        "tiny",
        "--slices",
        "all",
    ];
    all.into_iter().chain(more.iter().map(OsString::from)).collect()
}

#[track_caller]
fn assert_equals_single_run(cache: &Path) {
    let (expected, found) = (files(&fixture().cache), files(cache));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{} differs from one run's", name.display());
    }
}

#[test]
fn two_concurrent_parts_equal_a_single_run() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    // As in an array job: the task index is the part.
    let part = |name: &str, index: &str| {
        let arguments = embed(&cache, &["--num-parts", "2", "--json"]);
        program().args(arguments).env(name, index).output().unwrap()
    };
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| part("SLURM_ARRAY_TASK_ID", "0"));
        let second = part("JOB_COMPLETION_INDEX", "1");
        (first.join().unwrap(), second)
    });
    let [first, second] = [first, second].map(|o| Ended::from(o).expect(0).json());
    assert_eq!((&first["part"], &second["part"]), (&0.into(), &1.into()));
    assert_eq!(first["cases"].as_u64().unwrap() + second["cases"].as_u64().unwrap(), 6);
    let none = |part: &serde_json::Value| part["waiting_for"].as_array().unwrap().is_empty();
    assert!(none(&first) || none(&second), "{first} {second}");
    assert_equals_single_run(&cache);
}

#[test]
fn a_killed_part_continues() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let last = embed(&cache, &["--num-parts", "2", "--part-id", "1"]);
    let begun = cache.join("features");
    assert!(kill(&Moment::Seen(&begun), &last), "it finished before it was killed");
    for moment in [0.1, 0.2, 0.3] {
        kill(&Moment::After(fixture().embedding.mul_f64(moment)), &last);
    }
    let first = run(embed(&cache, &["--num-parts", "2", "--part-id", "0", "--json"])).expect(0);
    if !first.json()["waiting_for"].as_array().unwrap().is_empty() {
        run(embed(&cache, &["--num-parts", "2", "--finish"]))
            .fails_with(&[cache.to_str().unwrap(), "unfinished: 1"]);
        let run_dir = folder.path().join("run");
        let train = args!["train", "--cache", cache, "--source", "A", "--mode", "box"];
        run(train.into_iter().chain(args!["--out", run_dir]))
            .fails_with(&["no feature cache", "its missing parts"]);
    }
    run(last).expect(0);
    run(embed(&cache, &["--num-parts", "2", "--finish"])).expect(0);
    assert_equals_single_run(&cache);
    run(args!["info", "-q", cache, "--verify"]).expect(0);
}

#[test]
fn impossible_parts_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    run(embed(&cache, &["--num-parts", "2"]))
        .usage_error_with(&["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"]);
    run(embed(&cache, &["--num-parts", "2", "--part-id", "2"])).usage_error_with(&["part 2 of 2"]);
    run(embed(&cache, &["--part-id", "0"])).expect(2);
    run(embed(&cache, &["--num-parts", "2", "--part-id", "0", "--finish"])).expect(2);
    let odd = embed(&cache, &["--num-parts", "2"]);
    let odd = program().args(odd).env("SLURM_ARRAY_TASK_ID", "one").output().unwrap();
    Ended::from(odd).usage_error_with(&["SLURM_ARRAY_TASK_ID", "one"]);
    assert!(!cache.exists());
}
