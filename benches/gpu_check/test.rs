//! The program on a CPU, where it can be tried: its table, its JSON, its exit codes.
#![allow(clippy::unwrap_used, reason = "a test is to stop")]

use serde_json::Value;
use std::process::{Command, Output};

fn check(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gpu-check")).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn small_sizes_agree_and_are_timed() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("found.json");
    let path = json.to_str().unwrap();
    let found = check(&["--device", "cpu", "--quick", "--python", "none", "--json", path]);
    let (out, err) = (text(&found.stdout), text(&found.stderr));
    assert_eq!(found.status.code(), Some(0), "{out}{err}");
    for part in
        ["the processor", "residual block", "training step", "comparisons agree", "ms, median"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    let found: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let parity = found["parity"].as_array().unwrap();
    let times = found["times"].as_array().unwrap();
    assert!(parity.len() > 50 && times.len() > 10, "{} and {}", parity.len(), times.len());
    for row in parity {
        assert!(row["error"].as_f64().unwrap() <= row["limit"].as_f64().unwrap(), "{row}");
    }
    // An op that differs by nothing at all would mean that nothing was computed twice.
    assert!(parity.iter().any(|row| row["error"].as_f64().unwrap() > 0.0));
    for row in times {
        let ms = row["ours"]["took"]["ms"].as_array().unwrap();
        assert!(ms.len() == 3 && ms.iter().all(|t| t.as_f64().unwrap() > 0.0), "{row}");
    }
    // What the goals of the quick sizes ask for: a rate that nothing has, a time that all have.
    assert!(out.contains("1000000000/s: MISSED") && out.contains("1000000000 ms: met"), "{out}");
    assert!(out.contains("0 × eager: not measured"), "{out}");
}

#[cfg(feature = "emulation")]
#[test]
fn kernels_are_held_to_the_definition() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("found.json");
    let path = json.to_str().unwrap();
    let words = ["--device", "emulated", "--quick", "--parity-only", "--only", "layer norm"];
    let found = check(&[&words[..], &["--json", path]].concat());
    let (out, err) = (text(&found.stdout), text(&found.stderr));
    if out.contains("no C++ compiler") {
        println!("skipped: kernels are not emulated");
        return;
    }
    assert_eq!(found.status.code(), Some(0), "{out}{err}");
    let found: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let rows = found["parity"].as_array().unwrap();
    // Rounding shows, so the type is what it is said to be.
    for (dtype, least) in [("f32", 1e-9), ("bf16", 1e-4)] {
        let of: Vec<_> = rows.iter().filter(|row| row["dtype"] == dtype).collect();
        let worst = of.iter().map(|row| row["error"].as_f64().unwrap()).fold(0.0, f64::max);
        assert!(of.len() >= 8 && worst > least, "{dtype}: {worst} of {}", of.len());
    }
    assert!(rows.iter().all(|row| row["op"].as_str().unwrap().contains("layer norm")));
}

#[test]
fn what_cannot_be_checked_is_refused() {
    for (words, why) in [
        (&["--device", "cpu"][..], "--quick"),
        (&["--device", "toaster"], "cuda:N"),
        (&["--device", "cuda:4000000000", "--quick"], "cuda:4000000000"),
        (&["--parity-only", "--times-only"], "nothing is left to do"),
        (&["--device", "emulated"], "--parity-only"),
        (&["--budget", "soon"], "--budget soon"),
        (&["--json"], "needs a value"),
        (&["--colour"], "--help"),
    ] {
        let found = check(words);
        assert_eq!(found.status.code(), Some(2), "{words:?}");
        let said = text(&found.stderr);
        assert!(said.contains(why) && !said.contains("panicked"), "{words:?}: {said}");
    }
    assert!(text(&check(&["--help"]).stdout).contains("--reference"));
}

#[test]
fn a_reference_that_is_none_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let words = ["--device", "cpu", "--quick", "--parity-only", "--reference", path];
    let found = check(&words);
    assert_eq!(found.status.code(), Some(1));
    assert!(text(&found.stderr).contains("nothing to check"), "{}", text(&found.stderr));
}
