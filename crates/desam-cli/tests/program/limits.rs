//! Numbers out of range, misspelled names, Ctrl-C, unreadable folders.

use crate::common::{Ended, fixture, program, run};
use std::ffi::OsString;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn numbers_out_of_range_are_usage_errors_that_state_the_range() {
    let train = ["train", "--cache", "c", "--source", "A", "--mode", "box", "--out", "r"];
    let embed = ["embed", "--data", "d", "--out", "c", "--encoder", "tiny"];
    let evaluate = ["evaluate", "--cache", "c", "--run", "r"];
    let predict = ["predict", "--model", "m", "--input", "i", "--output", "o"];
    let phantom = ["phantom", "--out", "p"];
    let report = ["report", "r", "--out", "p.html"];
    let sweep = ["sweep", "plan", "--table", "1", "--cache", "c", "--out", "p"];
    const HUGE: &str = "18446744073709551615";
    for (command, flag, range, values) in [
        (&train[..], "--epochs", "1 to 100000", &["0", "-1", "100001", "1e300", HUGE, "nan"][..]),
        (&train, "--batch", "1 to 4096", &["0", "-1", "4097", HUGE]),
        (&train, "--lr", "at most 1000", &["0", "-1", "1e300", "nan", "inf"]),
        (&train, "--weight-decay", "0 to 1000", &["-1", "1e300", "nan"]),
        (&train, "--clip-norm", "at most 1000000", &["0", "-1", "1e300", "nan"]),
        (&train, "--ema", "below 1", &["0", "1", "-1", "nan"]),
        (&train, "--dice-weight", "0 to 1000000", &["-1", "1e300", "nan"]),
        (&train, "--validation-fraction", "below 1", &["0", "1", "-1", "nan"]),
        (&train, "--checkpoint-minutes", "0 to 1000000", &["-1", "1e300", "nan"]),
        (&train, "--keep-checkpoints", "1 to 10000", &["0", "-1", HUGE]),
        (&embed, "--num-parts", "1 to 100000", &["0", "-1", "100001", HUGE]),
        (&embed, "--batch", "1 to 1024", &["0", "-1", HUGE]),
        (&embed, "--input-side", "64 to 4096", &["0", "16", "-64", HUGE]),
        (&embed, "--resample", "0.01 to 100", &["1e300", "1e300,1,1", "1,1,-1", "nan,1,1"]),
        (&evaluate, "--grid", "1 to 64", &["0", "65", "-1", HUGE]),
        (&evaluate, "--border", "0 to 8192", &["-1", HUGE]),
        (&predict, "--grid", "1 to 64", &["0", "-1", "1e300"]),
        (&predict, "--threads", "1 to 1024", &["0", "1025", "-1", "1e300"]),
        (&train, "--seed", "0 to 18446744073709551615", &["-1", "1e300", "18446744073709551616"]),
        (&phantom, "--cases-per-site", "1 to 1000", &["0", "-1", "1001", HUGE]),
        (&report, "--cases", "0 to 1000", &["-1", HUGE]),
        (&sweep, "--epochs", "1 to 100000", &["0", HUGE]),
        (&sweep, "--grids", "1 to 64", &["0", "9,65"]),
    ] {
        for value in values {
            let ended = run(command.iter().chain(&[flag, value])).expect(2);
            assert!(ended.stderr.contains(range), "{flag} {value}: {ended:#?}");
        }
    }
}

#[test]
fn misspelled_names_get_a_suggestion() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let evaluate = |more: &[&str]| {
        let fixed = args!["evaluate", "--cache", fixture.cache, "--run", fixture.run];
        run(fixed.into_iter().chain(more.iter().map(OsString::from)))
    };
    // Sites here have one letter; only the case differs.
    evaluate(&["--sites", "b"]).fails_with(&["no site \"b\"", "A, B, C", "did you mean B?"]);
    let train = |more: &[&str]| {
        let fixed = args!["train", "--cache", fixture.cache, "--mode", "box", "--out", out];
        run(fixed.into_iter().chain(more.iter().map(OsString::from)))
    };
    train(&["--source", "c"]).fails_with(&["did you mean C?"]);
    for (ended, meant) in [
        (evaluate(&["--metrics", "dcie"]), "did you mean dice?"),
        (evaluate(&["--metrics", "hd59"]), "did you mean hd95?"),
        (train(&["--source", "A", "--variant", "desamm"]), "'desam'"),
        (train(&["--source", "A", "--preset", "papr"]), "'paper'"),
        (evaluate(&["--protocol", "ful"]), "'full'"),
    ] {
        assert!(ended.stderr.contains(meant), "{meant}: {ended:#?}");
        ended.expect(2);
    }
    let embed = args!["embed", "--data", fixture.data, "--out", out, "--encoder", "vit-bb"];
    run(embed).fails_with(&["did you mean vit-b?"]);
    assert!(!out.exists());
}

#[test]
fn embedding_data_without_ground_truth_is_an_error() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for site in ["A", "B"] {
        std::fs::create_dir_all(data.join(site)).unwrap();
        let to = |end: &str| data.join(site).join(format!("Case00{end}.nii.gz"));
        std::fs::copy(fixture.data.join(site).join("Case00.nii.gz"), to("")).unwrap();
        let label = fixture.data.join(site).join("Case00_segmentation.nii.gz");
        let label = desam::volume::nifti::read_labels(&label).unwrap();
        let empty = vec![0; label.data().len()];
        let empty = desam::types::LabelVolume::new(*label.grid(), empty).unwrap();
        desam::volume::nifti::write_labels(&to("_segmentation"), &empty).unwrap();
    }
    let cache = folder.path().join("cache");
    run(args!["embed", "--data", data, "--out", cache, "--encoder", "tiny"])
        .fails_with(&["nothing to embed"]);
    assert!(!cache.join("cache.json").exists());
}

/// Starts the program, sends SIGINT as soon as `seen` exists, and waits for it to exit.
#[cfg(unix)]
fn interrupted(arguments: &[OsString], seen: &std::path::Path) -> Ended {
    let mut command = program();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let started = Instant::now();
    while !seen.exists() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    child.wait_with_output().unwrap().into()
}

#[cfg(unix)]
#[test]
fn ctrl_c_prints_how_to_continue() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let (cache, out) = (folder.path().join("cache"), folder.path().join("run"));
    let embed = args![
        "embed",
        "-q",
        "--data",
        fixture.data,
        "--out",
        cache,
        "--encoder",
        "tiny",
        "--slices",
        "all",
        "--threads",
        "1",
    ];
    let ended = interrupted(&embed, &cache.join("features")).expect(130);
    assert!(ended.stderr.contains("interrupted: ") && ended.stderr.contains("same command"));
    run(embed).expect(0);
    let train = args![
        "train",
        "-q",
        "--cache",
        fixture.cache,
        "--source",
        "A",
        "--mode",
        "points",
        "--out",
        out,
        "--epochs",
        "500",
        "--lr",
        "1e-3",
    ];
    let ended = interrupted(&train, &out.join("checkpoints")).expect(130);
    assert!(ended.stderr.contains("--resume"), "{ended:?}");
    assert!(ended.stdout.is_empty(), "{ended:?}");
    let facts = run(args!["info", out, "--json"]).expect(0).json();
    assert_eq!(facts["manifest"]["finished"], false);
}

/// Needs a user other than root, who can read every folder.
#[cfg(unix)]
#[test]
#[allow(clippy::print_stdout, reason = "a test that could not run must say so")]
fn an_unreadable_folder_is_reported_among_other_problems() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let shut = folder.path().join("shut");
    for site in ["A", "B"] {
        std::fs::create_dir(folder.path().join(site)).unwrap();
        for case in ["Case00", "Case01"] {
            for end in ["", "_segmentation"] {
                let file = format!("{site}/{case}{end}.nii.gz");
                std::fs::copy(fixture.data.join(&file), folder.path().join(&file)).unwrap();
            }
        }
    }
    std::fs::create_dir(&shut).unwrap();
    std::fs::set_permissions(&shut, std::fs::Permissions::from_mode(0o0)).unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open.clone()).unwrap();
    let verify = args!["verify", "--data", folder.path(), "--json", "-q"];
    let ended = if std::fs::read_dir(&shut).is_err() {
        run(verify)
    } else {
        // Root reads everything, so run as an unprivileged user if possible.
        let mut other = std::process::Command::new("setpriv");
        other.args(["--reuid=65534", "--clear-groups", env!("CARGO_BIN_EXE_desam")]).args(verify);
        match other.output() {
            Ok(output) if output.status.code() == Some(1) && !output.stdout.is_empty() => {
                output.into()
            }
            _ => {
                println!("skipped: this user reads every folder");
                return;
            }
        }
    };
    std::fs::set_permissions(&shut, open).unwrap();
    let json = ended.expect(1).json();
    assert_eq!(json["cases"].as_array().unwrap().len(), 4, "{json}");
    let problems = json["layout_errors"].as_array().unwrap();
    assert!(problems.len() == 1 && problems[0].as_str().unwrap().contains("shut"), "{json}");
}
