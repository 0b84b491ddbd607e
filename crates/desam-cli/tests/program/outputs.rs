//! Outputs that are not regular files: links, devices, FIFOs, file descriptors.

#![cfg(unix)]

use crate::common::{Ended, fixture, program, run, run_copy};
use desam::volume::nifti::read_labels;
use std::ffi::OsString;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::Command;

/// Scores the fixture's model into files of this test.
fn evaluate(run: &Path, flags: &[OsString]) -> Vec<OsString> {
    let fixture = fixture();
    let fixed = args!["evaluate", "-q", "--cache", fixture.cache, "--run", run, "--sites", "B"];
    fixed.into_iter().chain(flags.iter().cloned()).collect()
}

fn is_null_device() -> bool {
    std::fs::metadata("/dev/null").unwrap().file_type().is_char_device()
}

fn fifo(path: &Path) -> bool {
    Command::new("mkfifo").arg(path).status().is_ok_and(|s| s.success())
}

/// Runs a shell command line with the program as `$0`, followed by `arguments`.
fn shell(line: &str, arguments: &[OsString]) -> Ended {
    let mut bash = Command::new("bash");
    bash.args(["-c", line, env!("CARGO_BIN_EXE_desam")]).args(arguments);
    bash.output().unwrap().into()
}

#[test]
fn devices_are_written_to_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let copy = run_copy(folder.path(), "run");
    let null = folder.path().join("null.csv");
    symlink("/dev/null", &null).unwrap();
    run(evaluate(&copy, &args!["--json", "/dev/null", "--csv", "/dev/null"])).expect(0);
    run(evaluate(&copy, &args!["--json", "/dev/null", "--csv", null])).expect(0);
    assert!(is_null_device());
    // A mask, its report and a checkpoint, through links whose names have the extension of the format.
    let fixture = fixture();
    let input = fixture.data.join("A/Case00.nii.gz");
    for name in ["m.nii.gz", "m.mha", "m.nrrd", "m.json"] {
        symlink("/dev/null", folder.path().join(name)).unwrap();
    }
    for name in ["m.nii.gz", "m.mha", "m.nrrd"] {
        let mask = folder.path().join(name);
        let predict = args!["predict", "-q", "--model", fixture.run, "--input", input, "--output"];
        run(predict.into_iter().chain(args![mask, "--save-json"])).expect(0);
    }
    let model = folder.path().join("m.safetensors");
    symlink("/dev/null", &model).unwrap();
    run(args!["convert", "-q", fixture.run.join("model.safetensors"), model]).expect(0);
    run(args!["report", "-q", copy_of_scores(&copy), "--out", "/dev/null", "--cases", "0"])
        .expect(0);
    assert!(is_null_device());
}

/// A run folder with scores.
fn copy_of_scores(run_dir: &Path) -> &Path {
    run(evaluate(run_dir, &args!["--force"])).expect(0);
    run_dir
}

#[test]
fn links_are_followed_and_not_replaced() {
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
    // The target of a link is not overwritten without --force.
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
fn file_descriptors_are_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let copy = run_copy(folder.path(), "run");
    // A pipe, and a file opened for appending: the scores as CSV, then the table.
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
    // Process substitution of the shell.
    let substituted = folder.path().join("substituted.csv");
    let line = format!("\"$0\" \"$@\" --csv >(cat > {})", substituted.display());
    shell(&line, &evaluate(&copy, &args!["--json", "/dev/null"])).expect(0);
    // The shell does not wait for the substituted process.
    let rows = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let text = std::fs::read_to_string(&substituted).unwrap_or_default();
        text.starts_with("site,case").then_some(text)
    });
    assert_eq!(rows.unwrap().lines().count(), 3);
}

#[test]
fn fifos_are_not_replaced_and_a_reader_that_closes_early_is_an_error() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let (pipe, mask) = (folder.path().join("m.nii.gz"), folder.path().join("read.nii.gz"));
    if !fifo(&pipe) {
        return;
    }
    let input = fixture.data.join("A/Case00.nii.gz");
    let predict =
        args!["predict", "-q", "--model", fixture.run, "--input", input, "--output", pipe];
    let line = format!("cat {} > {} & \"$0\" \"$@\"; wait", pipe.display(), mask.display());
    shell(&line, &predict).expect(0);
    assert!(read_labels(&mask).unwrap().data().iter().all(|v| *v <= 1));
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    // More than the pipe buffers, to a reader that takes one byte.
    let model = folder.path().join("m.safetensors");
    assert!(fifo(&model));
    let convert = args!["convert", "-q", fixture.run.join("model.safetensors"), model];
    let line = format!("head -c 1 {} > /dev/null & \"$0\" \"$@\"", model.display());
    shell(&line, &convert).fails_with(&["m.safetensors", "pipe"]);
    assert!(std::fs::metadata(&model).unwrap().file_type().is_fifo());
}

#[test]
fn a_socket_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let copy = run_copy(folder.path(), "run");
    let socket = folder.path().join("socket.csv");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    run(evaluate(&copy, &args!["--json", "/dev/null", "--csv", socket]))
        .fails_with(&["socket.csv", "it is a socket"]);
}
