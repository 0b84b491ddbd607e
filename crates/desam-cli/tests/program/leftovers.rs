//! Temporary files of killed processes are removed by the next process; those of live ones are kept.

#![cfg(unix)]

use crate::common::{fixture, program, run};
use desam::types::{Affine, Grid, Volume};
use desam::volume::nifti::write_volume;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn temporary(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|e| e.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.filter(|p| name(p).starts_with(".desam-") && name(p).ends_with(".tmp")).collect()
}

/// Starts the program and suspends it (SIGSTOP) while it has a temporary file in `dir`; `None` if it
/// was too fast.
fn stopped_while_writing(arguments: &[std::ffi::OsString], dir: &Path) -> Option<Child> {
    let mut command = program();
    let mut child =
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(60), "it neither writes nor ends");
        if !temporary(dir).is_empty() {
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-s", "STOP", &pid]).status().unwrap().success());
            // It may have finished in the meantime.
            std::thread::sleep(Duration::from_millis(5));
            if !temporary(dir).is_empty() {
                return Some(child);
            }
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    None
}

#[test]
fn temporary_files_of_a_killed_prediction_are_removed_and_those_of_a_live_one_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("large.nii"), folder.path().join("out"));
    std::fs::create_dir(&out).unwrap();
    // Its probability map takes 16 MB, written to the disk before it is renamed.
    let grid = Grid { dims: [1024, 1024, 4], affine: Affine::from_spacing([0.3, 0.3, 3.0]) };
    let voxels = (0..grid.len()).map(|n| (n % 251) as f32).collect();
    write_volume(&input, &Volume::new(grid, voxels).unwrap()).unwrap();
    let predict = |name: &str, more: &[&str]| {
        let mask = out.join(name);
        let base =
            args!["predict", "-q", "--model", fixture().run, "--input", input, "--output", mask];
        base.into_iter().chain(more.iter().map(Into::into)).collect::<Vec<_>>()
    };
    let slow = predict("a.nii", &["--save-probability"]);
    let caught = (0..20).find_map(|_| {
        for entry in std::fs::read_dir(&out).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        stopped_while_writing(&slow, &out)
    });
    let Some(mut child) = caught else { panic!("no prediction was seen while it was writing") };
    let at_work = temporary(&out);
    std::fs::write(out.join(".desam-AbCdEf.tmp"), b"of a version that said no more").unwrap();
    // A suspended process is alive: its file stays, while an unlocked one is removed.
    run(predict("b.nii.gz", &[])).expect(0);
    assert_eq!(temporary(&out), at_work);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(temporary(&out), at_work);
    run(predict("c.nii.gz", &[])).expect(0);
    assert!(temporary(&out).is_empty(), "{:?}", temporary(&out));
}

#[test]
fn embed_and_train_remove_leftover_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, out) = (folder.path().join("cache"), folder.path().join("run"));
    let slices = cache.join("features/A/Case00");
    let checkpoints = out.join("checkpoints");
    for dir in [&cache, &slices, &out, &checkpoints] {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join(".desam-AbCdEf.tmp"), b"half").unwrap();
    }
    let data = &fixture().data;
    run(args!["embed", "-q", "--data", data, "--out", cache, "--encoder", "tiny"]).expect(0);
    run(args![
        "train", "-q", "--cache", cache, "--source", "A", "--mode", "box", "--out", out,
        "--epochs", "1"
    ])
    .expect(0);
    for dir in [cache, slices, out, checkpoints] {
        assert!(temporary(&dir).is_empty(), "{:?}", temporary(&dir));
    }
}
