//! Runs every example on toy phantoms, as its reader would from the command line.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test's way to fail, and to say that it was skipped

use desam::Quiet;
use desam::data::phantom::{PhantomConfig, SiteStyle, write_phantoms};
use desam::encoder::{Checkpoint, builtin};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where cargo puts the examples of this package: beside the folder of this test.
fn example(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    folder.pop();
    folder.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn run(name: &str, args: &[&str]) -> String {
    finish(name, args, &mut Command::new(example(name)))
}

fn finish(name: &str, args: &[&str], command: &mut Command) -> String {
    let output = command.args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn path(root: &Path, name: &str) -> String {
    root.join(name).to_string_lossy().into_owned()
}

#[test]
fn every_example_runs_on_toy_phantoms() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let sites: Vec<SiteStyle> = SiteStyle::six_sites().into_iter().take(1).collect();
    let config = PhantomConfig { cases_per_site: 2, seed: 3, sites };
    let cases = write_phantoms(&root.join("data"), &config, &Quiet).unwrap();
    let site = cases[0].site.as_str();
    let (data, cache) = (path(root, "data"), path(root, "cache"));

    let out = run("precompute_features", &[&data, &cache]);
    assert!(out.contains("of 2 cases"), "{out}");
    let trained = path(root, "run");
    let out = run("train_one_site", &[&cache, site, &trained, "1"]);
    assert!(out.contains("best: epoch 1"), "{out}");
    let (volume, mask) = (cases[0].image.to_string_lossy(), path(root, "mask.nii.gz"));
    let out = run("segment_volume", &[&trained, &volume, &mask]);
    assert!(out.contains(" ml in ") && Path::new(&mask).is_file(), "{out}");
    let out = run("segment_in_memory", &[&trained, &volume]);
    assert!(out.contains("predicted IoU") && out.contains("largest probability"), "{out}");
    let out = run("prompt_slice", &[&trained, &volume, "3", "40", "40"]);
    assert!(out.contains("point: ") && out.contains("box: "), "{out}");
    let out = run("cancel", &[&trained, &volume]);
    assert!(out.contains("cancelled: ") || out.contains("in time: "), "{out}");
    let out = run("own_prompt_sampler", &[&cache, site, "1"]);
    assert!(out.contains("  1  loss"), "{out}");
    let out = run("own_backbone", &[&data, site, &path(root, "own"), "1"]);
    assert!(out.contains("  1  loss"), "{out}");
}

#[test]
fn two_steps_of_pretraining_leave_weights_that_say_how_they_were_made() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let steps = ["steady=1", "cooldown=1", "every=1", "batch=1", "objects=1", "scenes=1"];
    let weights = |name: &str, threads: &str| {
        let out = path(root, name);
        let mut command = Command::new(example("pretrain_tiny"));
        command.env("RAYON_NUM_THREADS", threads);
        let args = [&[out.as_str()], &steps[..]].concat();
        let said = finish("pretrain_tiny", &args, &mut command);
        assert!(said.contains("the best of 2 steps is step"), "{said}");
        let last = said.lines().find(|line| line.starts_with("last ")).unwrap().to_owned();
        (last, std::fs::read(root.join(name).join("tiny.safetensors")).unwrap())
    };
    assert!(weights("once", "1") == weights("again", "3"), "threads change the bits");
    let log = std::fs::read_to_string(root.join("once/log.csv")).unwrap();
    assert_eq!(log.lines().count(), 4, "{log}");
    let file = Checkpoint::open(root.join("once/tiny.safetensors")).unwrap();
    assert!(file.metadata["recipe"].starts_with("seed=0 steady=1 cooldown=1 "), "{file:?}");
    // It is made as the weights that are built in, name by name.
    let built_in = builtin::tiny().unwrap();
    assert!(file.tensors.keys().eq(built_in.tensors.keys()));
    assert!(file.metadata.keys().eq(built_in.metadata.keys()));
}

#[test]
fn examples_say_how_they_are_called() {
    for name in ["segment_volume", "train_one_site", "own_backbone", "pretrain_tiny"] {
        let output = Command::new(example(name)).output().unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage"), "{name}");
    }
}
