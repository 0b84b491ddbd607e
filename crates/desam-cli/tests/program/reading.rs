//! Reading volumes: channels, size limits, FIFOs, detached data files, unreasonable sizes.

use crate::common::{fixture, program, run};
use desam::types::{Affine, Grid, LabelVolume};
use desam::volume::nifti::{read_labels, read_volume, write_labels, write_volume};
use std::path::Path;

/// Writes a two-channel NIfTI file: the volume of `from`, and the same with reversed voxels.
fn two_channels(from: &Path, to: &Path) -> usize {
    let volume = read_volume(from).unwrap();
    let plain = to.with_file_name("one.nii");
    write_volume(&plain, &volume).unwrap();
    let mut bytes = std::fs::read(&plain).unwrap();
    std::fs::remove_file(plain).unwrap();
    // dim[0] and dim[4] of nifti1.h.
    bytes[40..42].copy_from_slice(&4_i16.to_le_bytes());
    bytes[48..50].copy_from_slice(&2_i16.to_le_bytes());
    let second = volume.data().iter().rev().flat_map(|v| v.to_le_bytes());
    bytes.extend(second);
    std::fs::write(to, bytes).unwrap();
    volume.data().len()
}

#[test]
fn every_command_can_choose_a_channel() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("Task05_Prostate");
    for name in ["imagesTr", "labelsTr"] {
        std::fs::create_dir_all(data.join(name)).unwrap();
    }
    for (from, id) in [("Case00", "prostate_00"), ("Case01", "prostate_01")] {
        let [image, label] =
            ["", "_segmentation"].map(|s| fixture.data.join(format!("A/{from}{s}.nii.gz")));
        two_channels(&image, &data.join(format!("imagesTr/{id}.nii")));
        std::fs::copy(label, data.join(format!("labelsTr/{id}.nii.gz"))).unwrap();
        std::fs::write(data.join(format!("imagesTr/._{id}.nii")), b"Mac OS X").unwrap();
    }
    let image = data.join("imagesTr/prostate_00.nii");
    run(args!["info", image]).fails_with(&["2 channels", "0 to 1", "hint: ", "--channel"]);
    run(args!["info", image, "--channel", "2"]).fails_with(&["no channel 2", "counted from 0"]);
    let mean = |channel: &str| {
        let facts = run(args!["info", image, "--channel", channel, "--json"]).expect(0).json();
        (facts["dims"].clone(), facts["value_mean"].as_f64().unwrap())
    };
    let ((dims, first), (_, second)) = (mean("0"), mean("1"));
    assert!((first - second).abs() < 1e-6 * first.abs(), "{first} {second}");
    let facts = run(args!["info", data, "--json"]).expect(0).json();
    assert_eq!((facts["layout"].as_str(), facts["cases"].as_u64()), (Some("decathlon"), Some(2)));
    run(args!["verify", "--data", data]).fails_with(&["2 channels"]);
    run(args!["verify", "--data", data, "--channel", "0"]).expect(0);
    // The cache key includes the channel; without a choice it is the same as before.
    let key = |channel: &str, out: &str| {
        let cache = folder.path().join(out);
        let base =
            args!["embed", "--data", data, "--out", cache, "--encoder", "tiny", "--slices", "all"];
        run(base.into_iter().chain(args!["--channel", channel])).expect(0);
        let facts = run(args!["info", cache, "--json"]).expect(0).json();
        facts["key"].as_str().unwrap().to_owned()
    };
    assert_ne!(key("0", "c0"), key("1", "c1"));
    let cache = folder.path().join("c0");
    run(args![
        "embed",
        "--data",
        data,
        "--out",
        cache,
        "--encoder",
        "tiny",
        "--slices",
        "all",
        "--channel",
        "1"
    ])
    .fails_with(&["channel: the cache has 0, requested 1"]);
    // Evaluation reads the volumes with the channel of the cache.
    run(args![
        "evaluate",
        "--cache",
        cache,
        "--run",
        fixture.run,
        "--protocol",
        "full",
        "--json",
        folder.path().join("scores.json"),
        "--csv",
        folder.path().join("scores.csv")
    ])
    .expect(0);
    let mask = folder.path().join("mask.nii.gz");
    run(args!["predict", "--model", fixture.run, "--input", image, "--output", mask])
        .fails_with(&["--channel"]);
    run(args![
        "predict",
        "--model",
        fixture.run,
        "--input",
        image,
        "--output",
        mask,
        "--channel",
        "0"
    ])
    .expect(0);
    let mask = read_labels(&mask).unwrap();
    assert_eq!(serde_json::json!(mask.grid().dims), dims);
}

/// A volume above the size limit fails; the other volumes are segmented.
#[test]
fn a_volume_above_the_limit_is_one_failure_of_a_folder() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in", "out"].map(|n| folder.path().join(n));
    std::fs::create_dir(&input).unwrap();
    std::fs::copy(fixture.data.join("A/Case00.nii.gz"), input.join("a.nii.gz")).unwrap();
    // 64 MiB of zeros as bytes, 256 MiB as intensities, compressed to 64 KiB.
    let grid = Grid { dims: [1024, 1024, 64], affine: Affine::from_spacing([0.1; 3]) };
    let bomb = LabelVolume::new(grid, vec![0; grid.len()]).unwrap();
    write_labels(&input.join("bomb.nii.gz"), &bomb).unwrap();
    let ended = run(args![
        "predict",
        "--model",
        fixture.run,
        "--input",
        input,
        "--output",
        output,
        "--max-volume-gib",
        "0.1",
        "--json"
    ]);
    let ended = ended.fails_with(&["bomb.nii.gz", "256.0 MiB", "102.4 MiB"]);
    let json = ended.json();
    assert_eq!(
        (json["done"].as_array().unwrap().len(), json["failed"].as_array().unwrap().len()),
        (1, 1)
    );
    assert!(output.join("a.nii.gz").is_file() && !output.join("bomb.nii.gz").exists());
    run(args!["info", input.join("bomb.nii.gz"), "--max-volume-gib", "0.1"])
        .fails_with(&["hint: ", "--max-volume-gib"]);
}

/// A failed allocation is an error of one volume, wherever it happens.
#[cfg(target_os = "linux")]
#[test]
fn a_failed_allocation_is_an_error() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in", "out"].map(|n| folder.path().join(n));
    std::fs::create_dir(&input).unwrap();
    std::fs::copy(fixture.data.join("A/Case00.nii.gz"), input.join("b.nii.gz")).unwrap();
    for (name, side) in [("a1.nii.gz", 1000), ("a2.nii.gz", 1200)] {
        // Up to 1.7 GB of intensities in an address space of 2 GB.
        let mut bytes = Vec::new();
        let grid = Grid { dims: [2, 1, 1], affine: Affine::from_spacing([0.5; 3]) };
        let plain = folder.path().join("plain.nii");
        write_labels(&plain, &LabelVolume::new(grid, vec![0, 1]).unwrap()).unwrap();
        bytes.extend(&std::fs::read(&plain).unwrap()[..352]);
        for (at, d) in [(42, side), (44, side), (46, 300)] {
            bytes[at..at + 2].copy_from_slice(&(d as i16).to_le_bytes());
        }
        let zeros = packed_zeros(&bytes, side * side * 300);
        std::fs::write(input.join(name), zeros).unwrap();
    }
    let command = format!(
        "ulimit -v 2000000; exec {:?} predict --threads 1 --model {:?} --input {:?} --output {:?}",
        program().get_program(),
        fixture.run,
        input,
        output
    );
    let ended = std::process::Command::new("bash").args(["-c", &command]).output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("out of memory") && !stderr.contains("panicked"), "{stderr}");
    assert!(output.join("b.nii.gz").is_file(), "{stderr}");
}

/// A header and a number of zeros, compressed with the system's gzip.
#[cfg(target_os = "linux")]
fn packed_zeros(header: &[u8], zeros: usize) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut gzip = Command::new("gzip")
        .arg("-1c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let header = header.to_vec();
    let writer = std::thread::spawn(move || {
        input.write_all(&header).unwrap();
        let chunk = vec![0; 1 << 20];
        let mut left = zeros;
        while left > 0 {
            let n = left.min(chunk.len());
            input.write_all(&chunk[..n]).unwrap();
            left -= n;
        }
    });
    let output = gzip.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

#[cfg(unix)]
#[test]
fn fifos_are_rejected_without_waiting() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.nii.gz", "a.nrrd", "a.mha", "cases.csv", "a.pth", "a.safetensors"] {
        let pipe = folder.path().join(name);
        if !std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success()) {
            println!("skipped: there is no mkfifo");
            return;
        }
        run(args!["info", pipe]).fails_with(&["named pipe"]);
    }
    let pipe = |name: &str| folder.path().join(name);
    run(args!["verify", "--data", pipe("cases.csv")]).fails_with(&["named pipe"]);
    let mask = pipe("mask.nii.gz");
    run(args!["predict", "--model", fixture.run, "--input", pipe("a.nii.gz"), "--output", mask])
        .fails_with(&["named pipe"]);
    run(args![
        "predict",
        "--model",
        pipe("a.safetensors"),
        "--input",
        fixture.data.join("A/Case00.nii.gz"),
        "--output",
        mask
    ])
    .fails_with(&["named pipe"]);
}

#[test]
fn data_files_outside_the_headers_folder_need_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("sub")).unwrap();
    std::fs::write(path("x.raw"), [1, 2]).unwrap();
    let header =
        "NDims = 3\nDimSize = 2 1 1\nElementType = MET_UCHAR\nElementDataFile = ../x.raw\n";
    std::fs::write(path("sub/x.mhd"), header).unwrap();
    run(args!["info", path("sub/x.mhd")]).fails_with(&["outside its folder", "--follow-outside"]);
    let facts =
        run(args!["info", path("sub/x.mhd"), "--follow-outside", "--json"]).expect(0).json();
    assert_eq!(facts["value_max"].as_f64(), Some(2.0));
}

#[test]
fn an_unwritable_mask_format_is_rejected_before_the_work() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let input = fixture.data.join("A/Case00.nii.gz");
    for name in ["mask 50%d.mhd", "mask 50%d.nhdr", "LIST.mhd"] {
        let out = folder.path().join(name);
        run(args!["predict", "--model", fixture.run, "--input", input, "--output", out])
            .fails_with(&[name, "cannot be written"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn an_unreasonable_input_side_is_rejected() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("cache");
    let refused = run(args![
        "embed",
        "--data",
        fixture.data,
        "--out",
        out,
        "--encoder",
        "tiny",
        "--input-side",
        "1048576"
    ])
    .expect(2);
    assert!(refused.stderr.contains("from 64 to 4096"), "{refused:?}");
}

#[test]
fn an_unreasonable_resampling_is_rejected() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("cache");
    run(args![
        "embed",
        "--data",
        fixture.data,
        "--out",
        out,
        "--encoder",
        "tiny",
        "--resample",
        "0.01,0.01,0.01"
    ])
    .fails_with(&["would not fit"]);
}
