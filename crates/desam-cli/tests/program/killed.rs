//! A program that is killed at any moment leaves nothing behind that is taken for whole.

use crate::common::{program, run, world};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Starts the program and kills it after `delay`; says whether it was still running.
pub(crate) fn kill_after(delay: Duration, arguments: &[OsString]) -> bool {
    let mut child =
        program().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while started.elapsed() < delay {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// The files under a folder with their contents; what a killed write left is told by its name.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
            if path.is_dir() {
                folders.push(path);
            } else if !hidden {
                let name = path.strip_prefix(dir).unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Kills `embed` at `kills` moments spread over the time it takes, then lets it finish.
fn embed_survives(kills: u32) {
    let world = world();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let embed = args![
        "embed",
        "-q",
        "--data",
        world.data,
        "--out",
        cache,
        "--encoder",
        "tiny",
        "--slices",
        "all",
    ];
    let mut killed = 0;
    for moment in 0..kills {
        // Every third time from nothing; the three together take a little more than an unbroken
        // run, so that kills fall on its beginning, its middle and its end.
        let part = [0.2, 0.35, 0.45][moment as usize % 3];
        if moment % 3 == 0 && cache.exists() {
            std::fs::remove_dir_all(&cache).unwrap();
        }
        let delay = world.embedding.mul_f64(part + 0.2 * f64::from(moment) / f64::from(kills));
        if kill_after(delay, &embed) {
            killed += 1;
            // Whole or refused, never in between.
            let seen = run(args!["info", "-q", cache, "--verify"]);
            match seen.code {
                Some(0) => {}
                _ => drop(seen.fails_with(&[cache.to_str().unwrap()])),
            }
        }
    }
    assert!(killed > 0, "the program was always faster than the killer");
    run(embed.clone()).expect(0);
    run(args!["info", "-q", cache, "--verify"]).expect(0);
    let (expected, found) = (files(&world.cache), files(&cache));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{} differs from an unbroken run's", name.display());
    }
    // A last time: all is there, nothing is computed.
    let again = run(embed.into_iter().chain(args!["--json"])).expect(0).json();
    assert_eq!(again["computed"], 0, "{again}");
}

fn train(out: &Path, more: &[&str]) -> Vec<OsString> {
    let cache = &world().cache;
    let fixed = args![
        "train", "-q", "--cache", cache, "--source", "A", "--mode", "points", "--out", out, "--lr",
        "1e-3", "--batch", "2"
    ];
    fixed.into_iter().chain(more.iter().map(OsString::from)).collect()
}

/// Kills `train` at `kills` moments; whatever model is there must be whole, and the run continues
/// to the bits of one that was not killed.
fn train_survives(kills: u32) {
    let world = world();
    let folder = tempfile::tempdir().unwrap();
    // A checkpoint after every step: kills fall into the writing of some.
    let often = ["--epochs", "3", "--checkpoint-minutes", "0.00001"];
    let started = Instant::now();
    let whole = folder.path().join("whole");
    run(train(&whole, &often)).expect(0);
    let took = started.elapsed();
    let input = world.data.join("A/Case00.nii.gz");
    let (mut models, mut killed) = (0, 0);
    for moment in 1..=kills {
        let out = folder.path().join(format!("run{moment}"));
        let delay = took.mul_f64(f64::from(moment) / f64::from(kills + 1));
        killed += u32::from(kill_after(delay, &train(&out, &often)));
        let mask = folder.path().join(format!("mask{moment}.nii.gz"));
        let predict = args!["predict", "-q", "--model", out, "--input", input, "--output", mask];
        if out.join("model.safetensors").is_file() {
            models += 1;
            run(predict).expect(0);
            run(args!["info", out, "--json"]).expect(0);
        } else {
            run(predict).fails_with(&[out.to_str().unwrap()]);
            assert!(!mask.exists());
        }
        if out.join("config.json").is_file() {
            // What was killed is not silently mixed with a new run, nor continued as another.
            run(train(&out, &often)).fails_with(&["already holds a run", "--resume"]);
            run(train(&out, &["--epochs", "3", "--resume", "--seed", "5"]))
                .fails_with(&["seed: was 0, now 5"]);
        }
        // Killed once more on the way, then to its end.
        let resume: Vec<&str> = often.into_iter().chain(["--resume"]).collect();
        killed += u32::from(kill_after(took / 2, &train(&out, &resume)));
        // A run that is there knows its number of epochs.
        let known = if out.join("config.json").is_file() { 2 } else { 0 };
        run(train(&out, &resume[known..])).expect(0);
        let (expected, found) = (files(&whole), files(&out));
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, bytes) in &expected {
            assert!(found[name] == *bytes, "{} differs from an unbroken run's", name.display());
        }
        let facts = run(args!["info", out, "--json"]).expect(0).json();
        assert_eq!(facts["manifest"]["finished"], true, "{facts}");
    }
    assert!(models > 0, "no run lived long enough to save a model");
    assert!(killed > 0, "the program was always faster than the killer");
}

#[test]
fn embed_continues_after_kills() {
    embed_survives(4);
}

#[test]
fn train_leaves_whole_models_after_kills_and_continues() {
    train_survives(4);
}

#[test]
#[ignore = "takes minutes; run by hand: cargo test --release -p desam-cli twenty_kills -- --ignored"]
fn twenty_kills_each() {
    embed_survives(20);
    train_survives(20);
}
