//! Outputs that are not regular files: links, devices, FIFOs, descriptors.

#![cfg(unix)]

use crate::common::{Ended, program, run, run_copy, world};
use desam::data::nifti::read_labels;
use std::ffi::OsString;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::Command;

/// Scores of the world's model into files of the test's.
fn evaluate(run: &Path, flags: &[OsString]) -> Vec<OsString> {
    let world = world();
    let fixed = args!["evaluate", "-q", "--cache", world.cache, "--run", run, "--sites", "B"];
    fixed.into_iter().chain(flags.iter().cloned()).collect()
}

fn is_null_device() -> bool {
    std::fs::metadata("/dev/null").unwrap().file_type().is_char_device()
}

fn fifo(path: &Path) -> bool {
    Command::new("mkfifo").arg(path).status().is_ok_and(|s| s.success())
}

/// Runs a shell's line with the program as `$0` and `arguments` behind it.
fn shell(line: &str, arguments: &[OsString]) -> Ended {
    let mut bash = Command::new("bash");
    bash.args(["-c", line, env!("CARGO_BIN_EXE_desam")]).args(arguments);
    bash.output().unwrap().into()
}

#[test]
fn devices_stay_devices() {
    let folder = tempfile::tempdir().unwrap();
    let copy = run_copy(folder.path(), "run");
    let null = folder.path().join("null.csv");
    symlink("/dev/null", &null).unwrap();
    run(evaluate(&copy, &args!["--json", "/dev/null", "--csv", "/dev/null"])).expect(0);
    run(evaluate(&copy, &args!["--json", "/dev/null", "--csv", null])).expect(0);
    assert!(is_null_device());
    // A mask, its report and a checkpoint, through links that promise the format.
    let world = world();
    let input = world.data.join("A/Case00.nii.gz");
    for name in ["m.nii.gz", "m.mha", "m.nrrd", "m.json"] {
        symlink("/dev/null", folder.path().join(name)).unwrap();
    }
    for name in ["m.nii.gz", "m.mha", "m.nrrd"] {
        let mask = folder.path().join(name);
        let predict = args!["predict", "-q", "--model", world.run, "--input", input, "--output"];
        run(predict.into_iter().chain(args![mask, "--save-json"])).expect(0);
    }
    let model = folder.path().join("m.safetensors");
    symlink("/dev/null", &model).unwrap();
    run(args!["convert", "-q", world.run.join("model.safetensors"), model]).expect(0);
    run(args!["report", "-q", copy_of_scores(&copy), "--out", "/dev/null", "--cases", "0"])
        .expect(0);
    assert!(is_null_device());
}

/// A run's folder with scores in it.
fn copy_of_scores(run_dir: &Path) -> &Path {
    run(evaluate(run_dir, &args!["--force"])).expect(0);
    run_dir
}

#[test]
fn links_stay_and_lead_to_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let copy = run_copy(folder.path(), "run");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("store")).unwrap();
    std::fs::write(at("store/old.csv"), "old").unwrap();
    symlink("store/old.csv", at("old.csv")).unwrap();
    symlink("store/new.json", at("new.json")).unwrap();
    symlink("nowhere/new.json", at("lost.json")).unwrap();
    symlink("b.csv", at("a.csv")).unwrap();
    symlink("a.csv", at("b.csv")).unwrap();
    let write = |json: &str, csv: &str, more: &[&str]| {
        let flags = args!["--json", at(json), "--csv", at(csv)];
        let more = more.iter().map(OsString::from);
        run(evaluate(&copy, &flags.into_iter().chain(more).collect::<Vec<_>>()))
    };
    // What a link leads to is not replaced without a word.
    write("new.json", "old.csv", &[]).fails_with(&["old.csv already exists", "--force"]);
    assert_eq!(std::fs::read(at("store/old.csv")).unwrap(), b"old");
    write("new.json", "old.csv", &["--force"]).expect(0);
    for link in ["old.csv", "new.json"] {
        assert!(at(link).symlink_metadata().unwrap().is_symlink(), "{link}");
        assert!(!at("store").join(link).symlink_metadata().unwrap().is_symlink(), "{link}");
    }
    assert!(std::fs::read_to_string(at("store/old.csv")).unwrap().starts_with("site,case"));
    assert!(at("store/new.json").is_file());
    assert_eq!(std::fs::read_dir(at("store")).unwrap().count(), 2, "a temporary file is left");
    write("new.json", "a.csv", &["--force"]).fails_with(&["a.csv", "links"]);
    write("lost.json", "old.csv", &["--force"]).fails_with(&["lost.json"]);
}

#[test]
fn descriptors_are_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let copy = run_copy(folder.path(), "run");
    // A pipe, and a file that is appended to: the scores as CSV, then the table.
    let stdout = run(evaluate(&copy, &args!["--json", "/dev/null", "--csv", "/dev/stdout"]));
    let stdout = stdout.expect(0).stdout;
    assert!(stdout.starts_with("site,case") && stdout.contains("A to Rest"), "{stdout}");
    let out = folder.path().join("out.txt");
    let file = std::fs::File::create(&out).unwrap();
    let flags = args!["--json", "/dev/null", "--csv", "/dev/fd/1"];
    let status = program().args(evaluate(&copy, &flags)).stdout(file).status().unwrap();
    assert!(status.success());
    let text = std::fs::read_to_string(&out).unwrap();
    assert_eq!(text.replace("/dev/fd/1", "/dev/stdout"), stdout);
    // A shell's process substitution.
    let substituted = folder.path().join("substituted.csv");
    let line = format!("\"$0\" \"$@\" --csv >(cat > {})", substituted.display());
    shell(&line, &evaluate(&copy, &args!["--json", "/dev/null"])).expect(0);
    // The shell does not wait for what it substitutes.
    let rows = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let text = std::fs::read_to_string(&substituted).unwrap_or_default();
        text.starts_with("site,case").then_some(text)
    });
    assert_eq!(rows.unwrap().lines().count(), 3);
}

#[test]
fn fifos_stay_fifos_and_a_reader_that_leaves_is_an_error() {
    let world = world();
    let folder = tempfile::tempdir().unwrap();
    let (pipe, mask) = (folder.path().join("m.nii.gz"), folder.path().join("read.nii.gz"));
    if !fifo(&pipe) {
        return;
    }
    let input = world.data.join("A/Case00.nii.gz");
    let predict = args!["predict", "-q", "--model", world.run, "--input", input, "--output", pipe];
    let line = format!("cat {} > {} & \"$0\" \"$@\"; wait", pipe.display(), mask.display());
    shell(&line, &predict).expect(0);
    assert!(read_labels(&mask).unwrap().data().iter().all(|v| *v <= 1));
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    // More than a pipe holds, to a reader that takes one byte.
    let model = folder.path().join("m.safetensors");
    assert!(fifo(&model));
    let convert = args!["convert", "-q", world.run.join("model.safetensors"), model];
    let line = format!("head -c 1 {} > /dev/null & \"$0\" \"$@\"", model.display());
    shell(&line, &convert).fails_with(&["m.safetensors", "pipe"]);
    assert!(std::fs::metadata(&model).unwrap().file_type().is_fifo());
}

#[test]
fn a_socket_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let copy = run_copy(folder.path(), "run");
    let socket = folder.path().join("socket.csv");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    run(evaluate(&copy, &args!["--json", "/dev/null", "--csv", socket]))
        .fails_with(&["socket.csv", "it is a socket"]);
}
